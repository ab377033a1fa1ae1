metadata description = 'Private endpoints for storage, vault and accounts.'

param prefix string
param location string
param tags { *: string }
param subnetId string
param networkId string
@allowed(['create', 'existing', 'none'])
param dns string
param zoneGroupId string
param storageAccountId string
param keyVaultId string
param azureOpenAiAccountIds string[]

var storageZones = map(['blob', 'queue', 'table'], service => 'privatelink.${service}.${environment().suffixes.storage}')
var vaultZone = replace('privatelink${environment().suffixes.keyvaultDns}', 'privatelink.vault.', 'privatelink.vaultcore.')
// An account answers in all of these zones. Which one its endpoint is in depends on its kind.
var publicZones = ['privatelink.openai.azure.com', 'privatelink.cognitiveservices.azure.com', 'privatelink.services.ai.azure.com']
var governmentZones = ['privatelink.openai.azure.us', 'privatelink.cognitiveservices.azure.us']
var accountZones = environment().name == 'AzureUSGovernment' ? governmentZones : publicZones

var accounts = map(range(0, length(azureOpenAiAccountIds)), index => {
  name: 'account-${index}'
  service: azureOpenAiAccountIds[index]
  group: 'account'
  zones: accountZones
})

module endpoints 'endpoints.bicep' = {
  params: {
    prefix: prefix
    location: location
    tags: tags
    subnetId: subnetId
    networkId: networkId
    dns: dns
    zoneGroupId: zoneGroupId
    zones: concat(storageZones, [vaultZone], accountZones)
    endpoints: concat([
      { name: 'blob', service: storageAccountId, group: 'blob', zones: [storageZones[0]] }
      { name: 'queue', service: storageAccountId, group: 'queue', zones: [storageZones[1]] }
      { name: 'table', service: storageAccountId, group: 'table', zones: [storageZones[2]] }
      { name: 'vault', service: keyVaultId, group: 'vault', zones: [vaultZone] }
    ], accounts)
  }
}
