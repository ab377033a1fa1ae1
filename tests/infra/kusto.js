// Checks queries with Microsoft's Kusto language service: node kusto.js FOLDER, with JSON on stdin:
// {"tables": {name: "(column: type, …)"}, "queries": {name: text}}. Prints {name: [message, …]}, without clean queries.
const service = process.argv[2] + "/node_modules/@kusto/language-service-next/";
require(service + "bridge.js");
require(service + "Kusto.Language.Bridge.js");
const { KustoCode, GlobalState, Symbols } = Kusto.Language;
const { tables, queries } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const symbols = Object.entries(tables).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));
const found = {};
for (const [name, text] of Object.entries(queries)) {
  const list = KustoCode.ParseAndAnalyze(text, globals).GetDiagnostics();
  for (let i = 0; i < list.Count; i++) (found[name] ??= []).push(list.getItem(i).Message);
}
console.log(JSON.stringify(found));
