metadata description = 'The workbook: the first page to open when something seems wrong.'

param name string
param location string
param tags { *: string }
param workspaceId string
param appName string

// {TimeRange} and the like are parameters of the workbook. {app} and {workspace} are replaced here.
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
