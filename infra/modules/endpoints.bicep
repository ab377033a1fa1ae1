metadata description = 'Private endpoints, with the DNS zones in which their names are found.'

type privateService = {
  name: string
  service: string
  group: string
  zones: string[]
}

param endpoints privateService[]
@description('Every zone of the endpoints, once.')
param zones string[]
param prefix string
param location string
param tags { *: string }
param subnetId string
@description('The network that the app resolves names in. Zones that are created are linked to it.')
param networkId string
@description('`create` creates the zones here, `existing` uses those of `zoneGroupId`, `none` leaves DNS to the company\'s policies.')
@allowed(['create', 'existing', 'none'])
param dns string
@description('Resource id of the resource group that has the zones.')
param zoneGroupId string

resource created 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in zones: if (dns == 'create') {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, index) in zones: if (dns == 'create') {
  name: last(split(networkId, '/'))
  parent: created[index]
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [for endpoint in endpoints: {
  name: '${prefix}-${endpoint.name}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
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

// Without a group, the company's policy adds its own (Azure Landing Zones, "Deploy-Private-DNS-Zones").
resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [for (endpoint, index) in endpoints: if (dns != 'none') {
  name: 'default'
  parent: privateEndpoints[index]
  properties: {
    privateDnsZoneConfigs: map(endpoint.zones, zone => {
      name: replace(zone, '.', '-')
      properties: {
        privateDnsZoneId: '${zoneGroupId}/providers/Microsoft.Network/privateDnsZones/${zone}'
      }
    })
  }
  dependsOn: [
    created
  ]
}]
