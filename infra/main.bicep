metadata description = 'The function app that mirrors Azure OpenAI fine-tuning jobs into Weights & Biases, without keys or connection strings.'

@description('Base name of all resources: letters, digits and hyphens. The storage account uses it in lower case without hyphens.')
@minLength(3)
@maxLength(24)
param name string = 'finetune-wandb'

@description('Region of the resources. It must offer Flex Consumption. Empty means the region of the resource group.')
param location string = ''

@description('Tags of every resource.')
param tags { *: string } = {}

@description('Name of azd\'s environment, for its tag `azd-env-name`.')
param azdEnvironment string = ''

type resourceNames = {
  actionGroup: string?
  @description('Prefix of the alert rules.')
  alerts: string?
  app: string?
  applicationInsights: string?
  identity: string?
  natGateway: string?
  network: string?
  plan: string?
  @description('Prefix of the private endpoints.')
  privateEndpoints: string?
  publicAddress: string?
  storageAccount: string?
  workspace: string?
}

@description('Names of single resources, in place of those that are made from the base name.')
param names resourceNames = {}

// ---- What is mirrored, and where to: the app's settings, as `python -m provisioning setup` prints them ----------------

@description('Endpoints of the Azure OpenAI accounts, separated by commas.')
param azureOpenAiEndpoints string

@description('Resource ids of the same accounts, separated by commas. They may be in other resource groups and subscriptions.')
param azureOpenAiAccountIds string

@description('Resource ids of resource groups whose Azure OpenAI accounts the app may find and read, separated by commas.')
param discoveryResourceGroupIds string = ''

@description('Version of the Azure OpenAI API. Empty lets the app choose.')
param azureOpenAiApiVersion string = ''

@description('Hosts of a gateway in front of the accounts or the vault, separated by commas. No other host gets the app\'s tokens.')
param azureTrustedHosts string = ''

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

@description('Price table, which adds the cost of a job to its run. See docs/wandb.md.')
param fineTuningPrices string = ''

@description('Minutes without news after which people are alerted to an unfinished job. 0 means never.')
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

@description('Existing subnet for the app: resource id, delegated to Microsoft.App/environments. Empty: a network is created.')
param appSubnetId string = ''

@description('Existing subnet for the private endpoints: resource id. It is given together with the app\'s.')
param endpointSubnetId string = ''

@description('How the app reaches the internet from a network that is created: `nat` has one public address; `route` has none.')
@allowed(['nat', 'route'])
param egress string = 'nat'

@description('Route table of the subnets that are created: resource id.')
param routeTableId string = ''

@description('DNS zones of the private endpoints: `create`, `existing` (see dnsZoneGroupId), or `none`, where policies attach them.')
@allowed(['create', 'existing', 'none'])
param privateDns string = 'create'

@description('Resource group of existing DNS zones: resource id.')
param dnsZoneGroupId string = ''

@description('Close the site of the app to the internet. It is then reached, and code deployed, through its private endpoint.')
param closeSite bool = false

@description('Encrypt the storage account twice. It can only be chosen when the account is created.')
param infrastructureEncryption bool = false

// ---- Rights ------------------------------------------------------------------------------------------------------------

@description('Existing user-assigned identity for the app: resource id. Empty: one is created.')
param identityId string = ''

@description('Assign the roles of the app\'s identity. Otherwise the owners do it: see docs/deploy.md, "Separated duties".')
param assignRoles bool = true

@description('How the vault authorizes: `rbac`, or `policy`, where roles have no effect and the identity needs an access policy.')
@allowed(['rbac', 'policy'])
param vaultAccess string = 'rbac'

// ---- How it is watched -------------------------------------------------------------------------------------------------

@description('Existing Log Analytics workspace: resource id. It is referred to and not written. Empty: one is created.')
param workspaceId string = ''

@description('Retention of the logs in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Email addresses for alerts, separated by commas. Empty: alerts fire without a notification.')
param alertEmails string = ''

@description('Action groups of the company that alerts notify, too: resource ids, separated by commas.')
param actionGroupIds string = ''

@description('Minutes without a successful tick after which an alert fires.')
@allowed([10, 15, 30, 45, 60])
param heartbeatMinutes int = 15

@description('Further app settings. Those that others have added stay in any case.')
param extraAppSettings { *: string } = {}

@description('Leave this out: the time of the deployment, from which alerts stay quiet for half an hour.')
param deployedAt string = utcNow()

@description('Address of the complete package of a release, which may carry a signature. Empty leaves the code as it is.')
@secure()
param packageUri string = ''

// ---- Combinations that cannot work -------------------------------------------------------------------------------------

var letters = 'abcdefghijklmnopqrstuvwxyz0123456789-'
var illegal = filter(range(0, length(name)), index => !contains(letters, toLower(substring(name, index, 1))))
var mistakes = filter([
  !empty(illegal) || startsWith(name, '-') || endsWith(name, '-') ? 'name takes letters, digits and hyphens, with a letter or digit at both ends.' : ''
  empty(appSubnetId) != empty(endpointSubnetId) ? 'appSubnetId and endpointSubnetId must be given together.' : ''
  !empty(appSubnetId) && appSubnetId == endpointSubnetId ? 'appSubnetId and endpointSubnetId are two subnets: a delegated one takes no private endpoints.' : ''
  !privateNetworking && !empty('${appSubnetId}${routeTableId}${dnsZoneGroupId}') ? 'Subnets, route table and DNS zones need privateNetworking.' : ''
  !privateNetworking && closeSite ? 'closeSite needs privateNetworking: without it nothing could deploy to the app.' : ''
  !empty(appSubnetId) && !empty(routeTableId) ? 'routeTableId is for subnets that are created. The owner of the given subnets sets theirs.' : ''
  (privateDns == 'existing') == empty(dnsZoneGroupId) ? 'dnsZoneGroupId is given with privateDns=existing, and only then.' : ''
  !assignRoles && empty(identityId) ? 'assignRoles=false needs identityId: the owners cannot give roles to an identity that does not exist yet.' : ''
], mistake => !empty(mistake))

// azd passes an empty string for an unset variable, and that counts.
#disable-next-line no-loc-expr-outside-params
var defaultRegion = resourceGroup().location
var region = !empty(mistakes) ? fail(join(mistakes, ' ')) : empty(location) ? defaultRegion : location
var token = toLower(uniqueString(resourceGroup().id, name, empty(location) ? defaultRegion : location))
var accountIds = map(split(azureOpenAiAccountIds, ','), id => trim(id))
var discoveryIds = empty(discoveryResourceGroupIds) ? [] : map(split(discoveryResourceGroupIds, ','), id => trim(id))
var emails = empty(alertEmails) ? [] : map(split(alertEmails, ','), address => trim(address))
var groups = empty(actionGroupIds) ? [] : map(split(actionGroupIds, ','), id => trim(id))
var allTags = empty(azdEnvironment) ? tags : union(tags, { 'azd-env-name': azdEnvironment })
var appName = names.?app ?? 'func-${name}-${take(token, 7)}'

// ---- The identity ------------------------------------------------------------------------------------------------------

resource ownIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (empty(identityId)) {
  name: names.?identity ?? 'id-${name}'
  location: region
  tags: allTags
}

// The parts of a valid id even where none is given, since a scope may be evaluated in any case.
var identityParts = split(empty(identityId) ? ownIdentity.id : identityId, '/')

resource givenIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = if (!empty(identityId)) {
  name: last(identityParts)
  scope: resourceGroup(identityParts[2], identityParts[4])
}

var principalId = empty(identityId) ? ownIdentity!.properties.principalId : givenIdentity!.properties.principalId
var clientId = empty(identityId) ? ownIdentity!.properties.clientId : givenIdentity!.properties.clientId

// ---- Network -----------------------------------------------------------------------------------------------------------

var createNetwork = privateNetworking && empty(appSubnetId)
var siteZone = environment().name == 'AzureUSGovernment' ? 'privatelink.azurewebsites.us' : 'privatelink.azurewebsites.net'

module network 'modules/network.bicep' = if (createNetwork) {
  params: {
    networkName: names.?network ?? 'vnet-${name}'
    gatewayName: names.?natGateway ?? 'ng-${name}'
    addressName: names.?publicAddress ?? 'pip-${name}'
    location: region
    tags: allTags
    addressPrefix: networkAddressPrefix
    egress: egress
    routeTableId: routeTableId
  }
}

// A subnet's id without its last two parts is the id of its network.
var givenNetworkId = join(take(split(appSubnetId, '/'), 9), '/')
var endpointPrefix = names.?privateEndpoints ?? 'pe-${name}'
var endpointSubnet = createNetwork ? network!.outputs.endpointSubnetId : endpointSubnetId
var networkId = createNetwork ? network!.outputs.networkId : givenNetworkId
var zoneGroupId = privateDns == 'existing' ? dnsZoneGroupId : resourceGroup().id

module endpoints 'modules/service-endpoints.bicep' = if (privateNetworking) {
  params: {
    prefix: endpointPrefix
    location: region
    tags: allTags
    subnetId: endpointSubnet
    networkId: networkId
    dns: privateDns
    zoneGroupId: zoneGroupId
    storageAccountId: storage.outputs.id
    keyVaultId: keyVaultId
    azureOpenAiAccountIds: accountIds
  }
}

module siteEndpoint 'modules/endpoints.bicep' = if (closeSite) {
  params: {
    prefix: endpointPrefix
    location: region
    tags: allTags
    subnetId: endpointSubnet
    networkId: networkId
    dns: privateDns
    zoneGroupId: zoneGroupId
    zones: [siteZone]
    endpoints: [{ name: 'site', service: app.outputs.id, group: 'sites', zones: [siteZone] }]
  }
}

// ---- Storage, logs, roles

module storage 'modules/storage.bicep' = {
  params: {
    name: names.?storageAccount ?? 'st${take(replace(toLower(name), '-', ''), 9)}${take(token, 13)}'
    location: region
    tags: allTags
    principalId: principalId
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    infrastructureEncryption: infrastructureEncryption
    assignRoles: assignRoles
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    componentName: names.?applicationInsights ?? 'appi-${name}'
    workspaceName: names.?workspace ?? 'log-${name}'
    existingWorkspaceId: workspaceId
    location: region
    tags: allTags
    retentionDays: logRetentionDays
    principalId: principalId
    assignRoles: assignRoles
  }
}

module access 'modules/access.bicep' = if (assignRoles) {
  params: {
    principalId: principalId
    keyVaultId: vaultAccess == 'rbac' ? keyVaultId : ''
    secretName: wandbSecretName
    accountIds: accountIds
    discoveryGroupIds: discoveryIds
  }
}

// ---- The app

module app 'modules/app.bicep' = {
  params: {
    name: appName
    planName: names.?plan ?? 'plan-${appName}'
    location: region
    tags: allTags
    identityId: empty(identityId) ? ownIdentity.id : identityId
    identityClientId: clientId
    storageAccountName: storage.outputs.name
    packageContainer: storage.outputs.packageContainer
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    subnetId: createNetwork ? network!.outputs.appSubnetId : appSubnetId
    publicNetworkAccess: closeSite ? 'Disabled' : 'Enabled'
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    packageUri: packageUri
    extraSettings: extraAppSettings
    settings: {
      AZURE_OPENAI_ENDPOINTS: azureOpenAiEndpoints
      AZURE_OPENAI_API_VERSION: azureOpenAiApiVersion
      AZURE_TRUSTED_HOSTS: azureTrustedHosts
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
  dependsOn: [access, endpoints]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    name: name
    prefix: names.?alerts ?? 'alert-${name}'
    location: region
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    appName: app.outputs.name
    emails: emails
    actionGroupIds: groups
    actionGroupName: names.?actionGroup ?? 'ag-${name}'
    quietUntil: dateTimeAdd(deployedAt, 'PT30M', 'yyyy-MM-ddTHH:mm:ssZ')
    heartbeatMinutes: heartbeatMinutes
  }
}

module workbook 'modules/workbook.bicep' = {
  params: {
    name: name
    location: region
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    appName: app.outputs.name
  }
}

output AZURE_LOCATION string = region
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output SERVICE_SYNC_NAME string = app.outputs.name
output AZURE_FUNCTION_APP string = app.outputs.name
output AZURE_FUNCTION_APP_GROUP string = resourceGroup().name
output AZURE_FUNCTION_APP_PRINCIPAL_ID string = principalId
output AZURE_STORAGE_ACCOUNT string = storage.outputs.name

@description('Who receives the alerts.')
output ALERTS string = empty(alertEmails) && empty(actionGroupIds) ? 'NOBODY receives them: deploy again with alertEmails or actionGroupIds.' : 'They go to alertEmails and actionGroupIds.'

@description('Public address of the app\'s outbound traffic, where a NAT gateway was created. A self-hosted W&B server has to let it in.')
output AZURE_OUTBOUND_ADDRESS string = createNetwork ? network!.outputs.outboundAddress : ''
