metadata description = 'The function app that mirrors Azure OpenAI fine-tuning jobs into Weights & Biases: no keys, no connection strings.'

targetScope = 'resourceGroup'

@description('What the resources are called after: letters, digits and hyphens. Storage gets it in lower case without hyphens.')
@minLength(3)
@maxLength(24)
param name string = 'finetune-wandb'

@description('Where the resources go, a region with Flex Consumption; empty is where the resource group is.')
param location string = ''

@description('Tags for every resource.')
param tags object = {}

// ---- what is mirrored, and where to: the app's settings, as `python -m provisioning setup` prints them ----------------

@description('Endpoints of the Azure OpenAI accounts, separated by commas.')
param azureOpenAiEndpoints string

@description('Resource ids of the same accounts, separated by commas; they may be in other resource groups and subscriptions.')
param azureOpenAiAccountIds string

@description('Version of the Azure OpenAI API to ask with; empty is what the app finds best.')
param azureOpenAiApiVersion string = ''

@description('Resource id of the Key Vault that has the W&B key; it may be in another resource group or subscription.')
param keyVaultId string

@description('Address of that vault.')
param keyVaultUrl string

@description('Name of the secret that is the W&B key.')
param wandbSecretName string = 'wandb-api-key'

@description('W&B team or user that the runs go to; empty is the default of the key\'s owner.')
param wandbEntity string = ''

@description('W&B project that the runs go to.')
param wandbProject string = 'OpenAI-Fine-Tune'

@description('W&B server, when it is your own.')
param wandbBaseUrl string = ''

@description('Rules that send jobs to other entities and projects; see WANDB_ROUTES in README.md.')
param wandbRoutes string = ''

@description('W&B registry, or registry/collection, that final models are linked to; empty is none.')
param wandbRegistry string = ''

@description('How much of the training files goes to W&B. Training data is private: this is the one to think about.')
@allowed(['full', 'sample', 'reference', 'off'])
param syncDatasets string = 'full'

@description('When the timer looks, as NCRONTAB with six fields, in UTC. W&B is said to call a run crashed after five minutes of silence.')
param syncSchedule string = '0 */2 * * * *'

// ---- how it runs -------------------------------------------------------------------------------------------------------

@description('Memory of an instance. The worker and wandb\'s own process take about 200 MB together.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('How many instances may work at once, each on one job.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Let the app reach storage, vault and accounts through private endpoints, and everything else from one address.')
param privateNetworking bool = false

@description('Address space of the virtual network, when there is one: a /24 or larger.')
param networkAddressPrefix string = '10.87.0.0/24'

@description('How long logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Who is told when something is wrong; separated by commas. Empty: the alerts fire, and nobody is told.')
param alertEmails string = ''

@description('Minutes without a successful tick after which somebody is told.')
@allowed([10, 15, 30, 45, 60])
param heartbeatMinutes int = 15

// azd gives a variable that is not set as an empty text, in place of a parameter's default.
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
  name: 'network'
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
  name: 'storage'
  params: {
    name: 'st${take(replace(toLower(name), '-', ''), 9)}${take(token, 13)}'
    location: region
    tags: tags
    principalId: identity.properties.principalId
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: name
    location: region
    tags: tags
    retentionDays: logRetentionDays
    principalId: identity.properties.principalId
  }
}

module vaultRole 'modules/vault-role.bicep' = {
  name: 'vault-role-${token}'
  scope: resourceGroup(split(keyVaultId, '/')[2], split(keyVaultId, '/')[4])
  params: {
    vaultName: last(split(keyVaultId, '/'))
    secretName: wandbSecretName
    principalId: identity.properties.principalId
  }
}

module accountRoles 'modules/account-role.bicep' = [for (id, index) in accountIds: {
  name: 'account-role-${index}-${token}'
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    accountName: last(split(id, '/'))
    principalId: identity.properties.principalId
  }
}]

module app 'modules/app.bicep' = {
  name: 'app'
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
  name: 'alerts'
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
  name: 'workbook'
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

@description('Where the app comes from when it reaches W&B, for the firewall of a W&B server of your own.')
output AZURE_OUTBOUND_ADDRESS string = privateNetworking ? network!.outputs.outboundAddress : ''
