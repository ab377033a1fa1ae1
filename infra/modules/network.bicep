metadata description = 'A virtual network for the app, where no subnets are given: one subnet for the app, one for private endpoints.'

param networkName string
param gatewayName string
param addressName string
param location string
param tags { *: string }
param addressPrefix string
@description('`nat` is a NAT gateway with one public address. `route` has no public address: the company\'s routes lead out.')
@allowed(['nat', 'route'])
param egress string
@description('Route table of both subnets. Empty means the network\'s own routes.')
param routeTableId string

var routeTable = empty(routeTableId) ? null : { id: routeTableId }

// W&B and Azure Monitor are on the internet, and a new subnet has no default outbound access (Microsoft, "Default outbound
// access"). UNVERIFIED: nobody has deployed this template. That a NAT gateway works with Flex Consumption is documented.
resource address 'Microsoft.Network/publicIPAddresses@2025-05-01' = if (egress == 'nat') {
  name: addressName
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource gateway 'Microsoft.Network/natGateways@2025-05-01' = if (egress == 'nat') {
  name: gatewayName
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
  name: networkName
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
          natGateway: egress == 'nat' ? { id: gateway.id } : null
          routeTable: routeTable
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
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
          routeTable: routeTable
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

output networkId string = network.id
output appSubnetId string = network::appSubnet.id
output endpointSubnetId string = network::endpointSubnet.id
output outboundAddress string = egress == 'nat' ? address!.properties.ipAddress : ''
