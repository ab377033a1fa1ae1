metadata description = 'Alerts: no successful tick, unreachable accounts, failing jobs, poison messages, a rejected or expiring W&B key.'

param name string
@description('Prefix of the names of the rules.')
param prefix string
param location string
param tags { *: string }
@description('Log Analytics workspace that the app\'s Application Insights writes to.')
param workspaceId string
@description('Name of the function app. The queries filter by it, since other apps may share the workspace.')
param appName string
param emails string[]
@description('Action groups of the company, by resource id. They are notified, too.')
param actionGroupIds string[]
param actionGroupName string
@description('No alert about missing or refused ticks or failing jobs fires before this time: a new app and its roles need some minutes.')
param quietUntil string
param heartbeatMinutes int

// A test checks these queries against the lines that the app logs.
var requests = 'AppRequests | where AppRoleName =~ "${appName}"'
var traces = 'AppTraces | where AppRoleName =~ "${appName}"'

var rules = [
  {
    name: 'no-tick'
    severity: 1
    description: 'find_jobs has not run with success for ${heartbeatMinutes} minutes: nothing reaches W&B. See docs/runbook.md, "Nothing arrives".'
    query: '${requests} and Name == "find_jobs" and Success | summarize Ticks = count() | extend Ticks = iff(now() < datetime(${quietUntil}), 1, Ticks)'
    measure: 'Ticks'
    operator: 'LessThan'
    threshold: 1
    minutes: heartbeatMinutes
  }
  {
    name: 'refused'
    severity: 2
    description: 'Ticks go well but for some accounts or W&B projects, whose jobs do not arrive. See docs/runbook.md, "Nothing arrives".'
    query: '${traces} and Message startswith "tick " | extend Refused = toint(extract("accounts_failed=([0-9]+)", 1, Message)) + toint(extract(" refused=([0-9]+)", 1, Message)) | summarize Ticks = countif(Refused > 0 and TimeGenerated > datetime(${quietUntil}))'
    measure: 'Ticks'
    operator: 'GreaterThan'
    threshold: 2
    minutes: 15
  }
  {
    name: 'jobs-failing'
    severity: 2
    description: 'A job failed twice or more and was not mirrored since. It is tried again, at most an hour later. See docs/runbook.md, "One job is missing".'
    query: '${traces} and Message startswith "message " | extend Job = extract(" job=([^ ]+)", 1, Message), Result = extract(" result=([^ ]+)", 1, Message) | summarize arg_max(TimeGenerated, Result), Failures = countif(Result == "failed" and TimeGenerated > datetime(${quietUntil})) by Job | where Result == "failed" and Failures > 1 | summarize Jobs = count()'
    measure: 'Jobs'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 180
  }
  {
    // The host itself moves a message that is not base64 to the poison queue, where the trigger cannot read it either.
    name: 'poison'
    severity: 2
    description: 'The host gave up on a message: the process ended five times during the work on it, or the host cannot decode it. A pending job is enqueued again. See docs/runbook.md, "Poison messages".'
    query: 'union (${requests} and Name == "report_poison" | project TimeGenerated), (${traces} and Message has "Message decoding has failed" | project TimeGenerated) | summarize Messages = count()'
    measure: 'Messages'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 15
  }
  {
    name: 'key-refused'
    severity: 1
    description: 'W&B refuses the key in the vault. See docs/runbook.md, "W&B refuses the key".'
    query: '${traces} and Message startswith "key " and Message has "state=refused" | summarize Refusals = count()'
    measure: 'Refusals'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 15
  }
  {
    name: 'key-expiring'
    severity: 3
    description: 'The secret with the W&B key expires within 30 days. See docs/runbook.md, "The key expires soon".'
    query: '${traces} and Message startswith "key " and Message has "state=expiring" | summarize Warnings = count()'
    measure: 'Warnings'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 60
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'finetune'
    emailReceivers: [for (address, index) in emails: {
      name: 'email-${index}'
      emailAddress: address
      useCommonAlertSchema: true
    }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [for rule in rules: {
  name: '${prefix}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${rule.name}'
    description: rule.description
    severity: rule.severity
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: rule.minutes >= 60 ? 'PT${rule.minutes / 60}H' : 'PT${rule.minutes}M'
    autoMitigate: true
    // The tables do not exist before the first line is logged, and validation would reject the queries until then.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          metricMeasureColumn: rule.measure
          timeAggregation: 'Total'
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: concat(empty(emails) ? [] : [people.id], actionGroupIds)
    }
  }
}]
