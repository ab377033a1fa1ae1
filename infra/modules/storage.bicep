metadata description = 'The storage account of the Functions host, the queue and the leases. It accepts no shared keys.'

param name string
param location string
param tags { *: string }
@description('Principal id of the app\'s identity, which uses the account.')
param principalId string
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
@description('Encrypt twice. It can only be chosen when the account is created.')
param infrastructureEncryption bool
@description('Whether to assign the roles here. Otherwise their owner does it with the commands of infra/owner_commands.py.')
param assignRoles bool

// The host keeps its locks and the timer's state in blobs, and the app keeps its leases there.
var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var storageQueueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
// The host writes diagnostic events to a table.
var storageTableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // Losing this account loses nothing: the next tick finds the pending jobs again. This SKU exists in every region.
    name: 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowCrossTenantReplication: false
    encryption: infrastructureEncryption ? { keySource: 'Microsoft.Storage', requireInfrastructureEncryption: true } : null
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource package 'containers' = {
      name: 'app-package'
    }

    resource leases 'containers' = {
      name: 'finetune-leases'
    }
  }

  resource queues 'queueServices' = {
    name: 'default'

    resource jobs 'queues' = {
      name: 'finetune-jobs'
    }

    // Created here, so that its trigger has a queue to listen to before the first message fails.
    resource poison 'queues' = {
      name: 'finetune-jobs-poison'
    }
  }
}

// The app deletes the blob of a lease when its job is final. The rest are from workers that were killed.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  name: 'default'
  parent: account
  properties: {
    policy: {
      rules: [
        {
          name: 'left-over-leases'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${account::blobs::leases.name}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 7
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource roles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in [storageBlobDataOwner, storageQueueDataContributor, storageTableDataContributor]: if (assignRoles) {
  name: guid(account.id, principalId, role)
  scope: account
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}]

output id string = account.id
output name string = account.name
output packageContainer string = account::blobs::package.name
