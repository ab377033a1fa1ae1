metadata description = 'The function app on its own Flex Consumption plan. It signs in to everything with its managed identity.'

param name string
param planName string
param location string
param tags { *: string }
param identityId string
param identityClientId string
param storageAccountName string
param packageContainer string
param applicationInsightsConnectionString string
@description('Subnet for all outbound traffic. Empty without private networking.')
param subnetId string
param instanceMemoryMB int
param maximumInstanceCount int
@description('Address of the complete package. Empty leaves the code as it is.')
@secure()
param packageUri string
@description('Whether the site answers the internet. Closed, only its private endpoint does.')
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
@description('Settings that the app reads. Empty ones are omitted, so that the app uses its defaults.')
param settings { *: string }
@description('Further app settings of the company.')
param extraSettings { *: string }

// The release that this template is part of.
var version = '0.2.0'

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

// The host connects with the identity. The three URIs are for sovereign clouds, where the account name alone gives the wrong
// host. The account name is there because a start with URIs alone can fail (Azure/azure-functions-host#11787).
var host = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__accountName: storage.name
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AZURE_CLIENT_ID: identityClientId
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  // azd finds the app to deploy to by its tag, and doctor compares the version with the package's.
  tags: union(tags, { 'azd-service-name': 'sync', 'template-version': version })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // The app has no HTTP function. Only the deployment endpoint stays open, which accepts Entra tokens only.
    publicNetworkAccess: publicNetworkAccess
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
    }
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.13'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }
}

resource present 'Microsoft.Web/sites/config@2025-03-01' existing = {
  name: 'appsettings'
  parent: app
}

// A separate module, because a resource cannot read what it is about to write.
module appSettings 'app-settings.bicep' = {
  params: {
    appName: app.name
    present: present.list().properties
    host: host
    settings: settings
    extraSettings: extraSettings
  }
}

// A new role on the package's container may need minutes. UNVERIFIED: with which code the extension fails until then.
// UNVERIFIED: nobody has deployed this. The two properties are those that templates for Flex Consumption pass in public.
@retryOn(['InaccessibleStorageException', 'BlobUploadFailedException', 'Forbidden'], 10)
resource code 'Microsoft.Web/sites/extensions@2025-03-01' = if (!empty(packageUri)) {
  name: 'onedeploy'
  parent: app
  // The published type of this resource has no properties for Flex Consumption.
  #disable-next-line BCP187
  properties: {
    packageUri: packageUri
    remoteBuild: false
  }
  dependsOn: [
    appSettings
  ]
}

output id string = app.id
output name string = app.name
