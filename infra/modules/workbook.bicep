metadata description = 'The page that whoever is on call looks at first.'

param name string
param location string
param tags object
param workspaceId string
param appName string

// Braces of its own kind ({TimeRange}) are the workbook's parameters; {app} and {workspace} are filled in here.
var page = replace(replace(loadTextContent('../workbook.json'), '{app}', appName), '{workspace}', workspaceId)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: 'Fine-tuning jobs → Weights & Biases (${name})'
    serializedData: page
    sourceId: workspaceId
    version: '1.0'
  }
}
