metadata description = 'Logs: a workspace, and an Application Insights component that accepts Entra tokens only.'

param componentName string
param workspaceName string
@description('An existing workspace, which is referred to and not written. Empty: one is created.')
param existingWorkspaceId string
param location string
param tags { *: string }
param retentionDays int
@description('Principal id of the app\'s identity, which writes the logs.')
param principalId string
@description('Whether to assign the role here. Otherwise its owner does it with the commands of infra/owner_commands.py.')
param assignRoles bool

var workspaceId = empty(existingWorkspaceId) ? workspace.id : existingWorkspaceId
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = if (empty(existingWorkspaceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    retentionInDays: retentionDays
    sku: {
      name: 'PerGB2018'
    }
    features: {
      disableLocalAuth: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    WorkspaceResourceId: workspaceId
  }
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (assignRoles) {
  name: guid(insights.id, principalId, monitoringMetricsPublisher)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
  }
}

output workspaceId string = workspaceId
output insightsId string = insights.id
output connectionString string = insights.properties.ConnectionString
