metadata description = 'The function app that mirrors Azure OpenAI fine-tuning jobs into Weights & Biases, without keys or connection strings.'

targetScope = 'resourceGroup'

@description('Base name of all resources: letters, digits and hyphens. The storage account uses it in lower case without hyphens.')
@minLength(3)
@maxLength(24)
param name string = 'finetune-wandb'

@description('Region of the resources. It must offer Flex Consumption. Empty means the region of the resource group.')
param location string = ''

@description('Tags of every resource.')
param tags { *: string } = {}

// ---- What is mirrored, and where to: the app's settings, as `python -m provisioning setup` prints them ----------------

@description('Endpoints of the Azure OpenAI accounts, separated by commas.')
param azureOpenAiEndpoints string

@description('Resource ids of the same accounts, separated by commas. They may be in other resource groups and subscriptions.')
param azureOpenAiAccountIds string

@description('Version of the Azure OpenAI API. Empty lets the app choose.')
param azureOpenAiApiVersion string = ''

@description('Resource id of the Key Vault that holds the W&B key. It may be in another resource group or subscription.')
param keyVaultId string

@description('URL of that vault.')
param keyVaultUrl string

@description('Name of the secret that holds the W&B key.')
param wandbSecretName string = 'wandb-api-key'

@description('W&B team or user that the runs go to. Empty means the default entity of the key\'s owner.')
param wandbEntity string = ''

@description('W&B project that the runs go to.')
param wandbProject string = 'OpenAI-Fine-Tune'

@description('URL of a self-hosted W&B server. Empty means W&B\'s cloud.')
param wandbBaseUrl string = ''

@description('Rules that send jobs to other entities and projects. See docs/routing.md.')
param wandbRoutes string = ''

@description('W&B registry, or registry/collection, that final models are linked to. Empty means none.')
param wandbRegistry string = ''

@description('Name of the W&B artifact whose versions the models are. Empty means one for each base model and suffix.')
param wandbModelArtifactName string = ''

@description('Type of that artifact.')
param wandbModelArtifactType string = 'model'

@description('Price table as JSON, which adds the cost of a job to its run. See docs/wandb.md.')
param fineTuningPrices string = ''

@description('Minutes without news after which people are alerted to a job that goes on. 0 means never.')
param alertOverdueMinutes string = '1440'

@description('How much of the training files goes to W&B. It has no default, because uploaded data stays in W&B: see docs/data.md.')
@allowed(['full', 'sample', 'reference', 'off'])
param syncDatasets string

@description('Schedule of the timer: NCRONTAB with six fields, in UTC. W&B may show a run as crashed after five minutes without news.')
param syncSchedule string = '0 */2 * * * *'

// ---- How it runs -------------------------------------------------------------------------------------------------------

@description('Memory of an instance. The Python worker and wandb-core use about 200 MB together.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Largest number of instances. Each works on one job at a time.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Reach storage, vault and accounts through private endpoints, and everything else from one public address.')
param privateNetworking bool = false

@description('Address space of the virtual network, with private networking: a /24 or larger.')
param networkAddressPrefix string = '10.87.0.0/24'

@description('Retention of the logs in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Email addresses for alerts, separated by commas. Empty: alerts fire without a notification.')
param alertEmails string = ''

@description('Minutes without a successful tick after which an alert fires.')
@allowed([10, 15, 30, 45, 60])
param heartbeatMinutes int = 15

@description('Address of the complete package of a release, which may carry a signature. Empty leaves the code as it is.')
@secure()
param packageUri string = ''

// azd passes an empty string for an unset variable, which replaces the default of a parameter.
var region = empty(location) ? resourceGroup().location : location
var token = toLower(uniqueString(resourceGroup().id, name, region))
var accountIds = map(split(azureOpenAiAccountIds, ','), id => trim(id))
var emails = empty(alertEmails) ? [] : map(split(alertEmails, ','), address => trim(address))

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${name}'
  location: region
  tags: tags
}

module network 'modules/network.bicep' = if (privateNetworking) {
  params: {
    name: name
    location: region
    tags: tags
    addressPrefix: networkAddressPrefix
    storageAccountId: storage.outputs.id
    keyVaultId: keyVaultId
    azureOpenAiAccountIds: accountIds
  }
}

module storage 'modules/storage.bicep' = {
  params: {
    name: 'st${take(replace(toLower(name), '-', ''), 9)}${take(token, 13)}'
    location: region
    tags: tags
    principalId: identity.properties.principalId
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    name: name
    location: region
    tags: tags
    retentionDays: logRetentionDays
    principalId: identity.properties.principalId
  }
}

module vaultRole 'modules/vault-role.bicep' = {
  scope: resourceGroup(split(keyVaultId, '/')[2], split(keyVaultId, '/')[4])
  params: {
    vaultName: last(split(keyVaultId, '/'))
    secretName: wandbSecretName
    principalId: identity.properties.principalId
  }
}

module accountRoles 'modules/account-role.bicep' = [for id in accountIds: {
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    accountName: last(split(id, '/'))
    principalId: identity.properties.principalId
  }
}]

module app 'modules/app.bicep' = {
  params: {
    name: 'func-${name}-${take(token, 7)}'
    location: region
    tags: tags
    identityId: identity.id
    identityClientId: identity.properties.clientId
    storageAccountName: storage.outputs.name
    packageContainer: storage.outputs.packageContainer
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    packageUri: packageUri
    settings: {
      AZURE_OPENAI_ENDPOINTS: azureOpenAiEndpoints
      AZURE_OPENAI_API_VERSION: azureOpenAiApiVersion
      KEY_VAULT_URL: keyVaultUrl
      WANDB_SECRET_NAME: wandbSecretName
      WANDB_ENTITY: wandbEntity
      WANDB_PROJECT: wandbProject
      WANDB_BASE_URL: wandbBaseUrl
      WANDB_ROUTES: wandbRoutes
      WANDB_REGISTRY: wandbRegistry
      WANDB_MODEL_ARTIFACT_NAME: wandbModelArtifactName
      WANDB_MODEL_ARTIFACT_TYPE: wandbModelArtifactType
      FINE_TUNING_PRICES: fineTuningPrices
      ALERT_OVERDUE_MINUTES: alertOverdueMinutes
      SYNC_DATASETS: syncDatasets
      SYNC_SCHEDULE: syncSchedule
    }
  }
  dependsOn: [
    vaultRole
    accountRoles
  ]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    name: name
    location: region
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    appName: app.outputs.name
    emails: emails
    heartbeatMinutes: heartbeatMinutes
  }
}

module workbook 'modules/workbook.bicep' = {
  params: {
    name: name
    location: region
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    appName: app.outputs.name
  }
}

output AZURE_LOCATION string = region
output AZURE_FUNCTION_APP string = app.outputs.name
output AZURE_FUNCTION_APP_GROUP string = resourceGroup().name
output AZURE_FUNCTION_APP_PRINCIPAL_ID string = identity.properties.principalId

@description('Public address of the app\'s outbound traffic, with private networking. A self-hosted W&B server has to let it in.')
output AZURE_OUTBOUND_ADDRESS string = privateNetworking ? network!.outputs.outboundAddress : ''
