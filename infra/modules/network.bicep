metadata description = 'A virtual network for the app, with private endpoints for everything in Azure that it reaches.'

param name string
param location string
param tags object
param addressPrefix string
param storageAccountId string
param keyVaultId string
param azureOpenAiAccountIds array

var zones = {
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  queue: 'privatelink.queue.${environment().suffixes.storage}'
  table: 'privatelink.table.${environment().suffixes.storage}'
  vault: replace('privatelink${environment().suffixes.keyvaultDns}', 'privatelink.vault.', 'privatelink.vaultcore.')
  account: environment().name == 'AzureUSGovernment' ? 'privatelink.openai.azure.us' : 'privatelink.openai.azure.com'
}
var accounts = map(range(0, length(azureOpenAiAccountIds)), index => {
  name: 'account-${index}'
  service: azureOpenAiAccountIds[index]
  group: 'account'
  zone: zones.account
})
var endpoints = concat([
  { name: 'blob', service: storageAccountId, group: 'blob', zone: zones.blob }
  { name: 'queue', service: storageAccountId, group: 'queue', zone: zones.queue }
  { name: 'table', service: storageAccountId, group: 'table', zone: zones.table }
  { name: 'vault', service: keyVaultId, group: 'vault', zone: zones.vault }
], accounts)

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          // What Flex Consumption asks for.
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource dns 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in items(zones): {
  name: zone.value
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, index) in items(zones): {
  name: 'vnet-${name}'
  parent: dns[index]
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [for endpoint in endpoints: {
  name: 'pe-${name}-${endpoint.name}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: network::endpointSubnet.id
    }
    privateLinkServiceConnections: [
      {
        name: endpoint.name
        properties: {
          privateLinkServiceId: endpoint.service
          groupIds: [endpoint.group]
        }
      }
    ]
  }
}]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [for (endpoint, index) in endpoints: {
  name: 'default'
  parent: privateEndpoints[index]
  properties: {
    privateDnsZoneConfigs: [
      {
        name: endpoint.group
        properties: {
          privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', endpoint.zone)
        }
      }
    ]
  }
  dependsOn: [
    dns
  ]
}]

output appSubnetId string = network::appSubnet.id
