metadata description = 'Roles of the app\'s identity outside its own resource group: in those of the vault and of the accounts.'

param principalId string
@description('Resource id of the vault. Empty where it is on access policies, on which roles have no effect.')
param keyVaultId string
param secretName string
@description('Resource ids of the accounts, in any resource group and subscription.')
param accountIds string[]
@description('Resource ids of the resource groups in which the app finds accounts.')
param discoveryGroupIds string[]

// The parts of a valid id even where none is given, since a scope may be evaluated in any case.
var vaultParts = split(empty(keyVaultId) ? resourceGroup().id : keyVaultId, '/')

module vaultRole 'vault-role.bicep' = if (!empty(keyVaultId)) {
  scope: resourceGroup(vaultParts[2], vaultParts[4])
  params: {
    vaultName: last(vaultParts)
    secretName: secretName
    principalId: principalId
  }
}

module accountRoles 'account-role.bicep' = [for id in accountIds: {
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    accountName: last(split(id, '/'))
    principalId: principalId
  }
}]

module discoveryRoles 'discovery-role.bicep' = [for id in discoveryGroupIds: {
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    principalId: principalId
  }
}]
