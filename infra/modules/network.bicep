metadata description = 'A virtual network for the app, with private endpoints for storage, vault and accounts.'

param name string
param location string
param tags { *: string }
param addressPrefix string
param storageAccountId string
param keyVaultId string
param azureOpenAiAccountIds string[]

var suffix = environment().suffixes.storage
var storageZones = map(['blob', 'queue', 'table'], service => 'privatelink.${service}.${suffix}')
var vaultZone = replace('privatelink${environment().suffixes.keyvaultDns}', 'privatelink.vault.', 'privatelink.vaultcore.')
// An account answers in all of these zones. Which one its endpoint is in depends on its kind.
var publicZones = [
  'privatelink.openai.azure.com'
  'privatelink.cognitiveservices.azure.com'
  'privatelink.services.ai.azure.com'
]
var governmentZones = [
  'privatelink.openai.azure.us'
  'privatelink.cognitiveservices.azure.us'
]
var accountZones = environment().name == 'AzureUSGovernment' ? governmentZones : publicZones
var zones = concat(storageZones, [vaultZone], accountZones)

var accounts = map(range(0, length(azureOpenAiAccountIds)), index => {
  name: 'account-${index}'
  service: azureOpenAiAccountIds[index]
  group: 'account'
  zones: accountZones
})
var endpoints = concat([
  { name: 'blob', service: storageAccountId, group: 'blob', zones: [storageZones[0]] }
  { name: 'queue', service: storageAccountId, group: 'queue', zones: [storageZones[1]] }
  { name: 'table', service: storageAccountId, group: 'table', zones: [storageZones[2]] }
  { name: 'vault', service: keyVaultId, group: 'vault', zones: [vaultZone] }
], accounts)

// W&B and Azure Monitor are on the internet, and a new subnet has no default outbound access (Microsoft, "Default outbound
// access"). UNVERIFIED: nobody has deployed this template. That a NAT gateway works with Flex Consumption is documented.
resource address 'Microsoft.Network/publicIPAddresses@2025-05-01' = {
  name: 'pip-${name}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource gateway 'Microsoft.Network/natGateways@2025-05-01' = {
  name: 'ng-${name}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIpAddresses: [
      {
        id: address.id
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
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
          defaultOutboundAccess: false
          natGateway: {
            id: gateway.id
          }
          // Flex Consumption requires this delegation.
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

resource dns 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in zones: {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, index) in zones: {
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

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [for endpoint in endpoints: {
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

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [for (endpoint, index) in endpoints: {
  name: 'default'
  parent: privateEndpoints[index]
  properties: {
    privateDnsZoneConfigs: map(endpoint.zones, zone => {
      name: replace(zone, '.', '-')
      properties: {
        privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone)
      }
    })
  }
  dependsOn: [
    dns
  ]
}]

output appSubnetId string = network::appSubnet.id
output outboundAddress string = address.properties.ipAddress
