metadata description = 'The app settings: ours as they are given now, and those that others have added as they stand.'

param appName string
@description('The settings that the app has. Some may be secrets of others.')
@secure()
param present { *: string }
@description('Settings of the Functions host.')
param host { *: string }
@description('Settings of the app. An empty one is removed, so that the app uses its default.')
param settings { *: string }
@description('Further settings of the company.')
param extraSettings { *: string }

// Some deployments add a connection string (Azure/azure-functions-host#11796), which the host would use in place of the identity.
var connectionString = 'azurewebjobsstorage'
var others = toObject(
  filter(items(present), each => !contains(settings, each.key) && toLower(each.key) != connectionString),
  each => each.key,
  each => each.value
)
var given = toObject(filter(items(settings), each => !empty(each.value)), each => each.key, each => each.value)

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName

  // A write replaces all settings.
  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(others, extraSettings, host, given)
  }
}
