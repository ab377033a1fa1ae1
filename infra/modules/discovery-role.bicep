metadata description = 'Lets an identity find the Azure OpenAI accounts of a resource group, and read their fine-tuning jobs and files.'

param principalId string

// It lists accounts, too, so that Reader is not needed. Cognitive Services User would also list their keys.
var cognitiveServicesOpenAiUser = '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'

resource finder 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, principalId, cognitiveServicesOpenAiUser)
  scope: resourceGroup()
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cognitiveServicesOpenAiUser)
  }
}
