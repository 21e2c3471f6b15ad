package text

// Sentences of kiwerk demo.
const (
	DemoTitle        Key = "demo.title"
	DemoImages       Key = "demo.images"
	DemoPipeline     Key = "demo.pipeline"
	DemoPipelineDone Key = "demo.pipeline.done"
	DemoDeploy       Key = "demo.deploy"
	DemoWatch        Key = "demo.watch"
	DemoBefore       Key = "demo.before"
	DemoBeforeDone   Key = "demo.before.done"
	DemoChange       Key = "demo.change"
	DemoDrift        Key = "demo.drift"
	DemoDriftDone    Key = "demo.drift.done"
	DemoLabels       Key = "demo.labels"
	DemoLabelsBad    Key = "demo.labels.bad"
	DemoRetrain      Key = "demo.retrain"
	DemoRetrainDone  Key = "demo.retrain.done"
	DemoRefused      Key = "demo.refused"
	DemoCanary       Key = "demo.canary"
	DemoMeasure      Key = "demo.measure"

	DemoTableWhat      Key = "demo.table.what"
	DemoTableValue     Key = "demo.table.value"
	DemoTableAccuracy1 Key = "demo.table.accuracy1"
	DemoTableAccuracyC Key = "demo.table.accuracyChanged"
	DemoTableAccuracy2 Key = "demo.table.accuracy2"
	DemoTableWindows   Key = "demo.table.windows"
	DemoTableAlarms    Key = "demo.table.falseAlarms"
	DemoTableDrift     Key = "demo.table.drift"
	DemoTableChampion  Key = "demo.table.champion"
	DemoTableChallgr   Key = "demo.table.challenger"
	DemoTableCanary    Key = "demo.table.canary"
	DemoTableCanaryVal Key = "demo.table.canaryValue"
	DemoTableDecision  Key = "demo.table.decision"
	DemoTableRequests  Key = "demo.table.requests"
	DemoTableRequestsV Key = "demo.table.requestsValue"
	DemoTableMemory    Key = "demo.table.memory"
	DemoTableTime      Key = "demo.table.time"
	DemoPromoted       Key = "demo.promoted"
	DemoNotPromoted    Key = "demo.notPromoted"
	DemoReport         Key = "demo.report"
	DemoPercent        Key = "demo.percent"
	DemoCount          Key = "demo.count"
	DemoMegabytes      Key = "demo.megabytes"
)

var demoTexts = map[Key]entry{
	DemoTitle:        {"A working day of quality inspection", "Ein Arbeitstag der Qualitätskontrolle"},
	DemoImages:       {"Getting the images and giving each its one role", "Bilder holen und jedem seine eine Aufgabe geben"},
	DemoPipeline:     {"Ingest, train, evaluate, register and deploy", "Einlesen, trainieren, prüfen, registrieren und bereitstellen"},
	DemoPipelineDone: {"run %[1]s became version %[2]s of %[3]s", "aus Lauf %[1]s wurde Version %[2]s von %[3]s"},
	DemoDeploy:       {"Waiting for the endpoint", "Auf den Endpunkt warten"},
	DemoWatch:        {"Setting up the monitor and the retraining policy", "Überwachung und Regel für das Nachtraining einrichten"},
	DemoBefore:       {"A normal day: photographs and their labels", "Ein gewöhnlicher Tag: Aufnahmen und ihre wahren Werte"},
	DemoBeforeDone:   {"%[1]d photographs in %[2]d windows, %[3]d alarms, %[4]s read right", "%[1]d Aufnahmen in %[2]d Fenstern, %[3]d Alarme, %[4]s richtig gelesen"},
	DemoChange:       {"The camera changes: out of focus, darker, noisier", "Die Kamera verändert sich: unscharf, dunkler, verrauscht"},
	DemoDrift:        {"Waiting for the drift to be noticed", "Warten, bis die Drift bemerkt wird"},
	DemoDriftDone:    {"alarm after %[1]d photographs", "Alarm nach %[1]d Aufnahmen"},
	DemoLabels:       {"Measuring version %[1]s, sending labels", "Version %[1]s messen, wahre Werte melden"},
	DemoLabelsBad:    {"Measuring version %[1]s, sending SHUFFLED labels (--bad-challenger)", "Version %[1]s messen, VERTAUSCHTE Werte melden (--bad-challenger)"},
	DemoRetrain:      {"Waiting for the retraining, which starts by itself", "Auf das Nachtraining warten, das von selbst beginnt"},
	DemoRetrainDone:  {"champion %[1]s, challenger %[2]s on %[3]d images neither has seen", "bisheriges Modell %[1]s, neues %[2]s auf %[3]d Bildern, die keines kennt"},
	DemoRefused:      {"the new model was refused: %[1]s", "das neue Modell wurde abgelehnt: %[1]s"},
	DemoCanary:       {"The new version gets its share of the traffic", "Die neue Version bekommt ihren Anteil am Verkehr"},
	DemoMeasure:      {"Measuring what serves now", "Messen, was jetzt antwortet"},

	DemoTableWhat:      {"What", "Was"},
	DemoTableValue:     {"Value", "Wert"},
	DemoTableAccuracy1: {"version 1, before the change", "Version 1, vor der Veränderung"},
	DemoTableAccuracyC: {"version 1, changed camera", "Version 1, veränderte Kamera"},
	DemoTableAccuracy2: {"version 2, changed camera", "Version 2, veränderte Kamera"},
	DemoTableWindows:   {"windows before the change", "Fenster vor der Veränderung"},
	DemoTableAlarms:    {"false alarms", "Fehlalarme"},
	DemoTableDrift:     {"photographs until the alarm", "Aufnahmen bis zum Alarm"},
	DemoTableChampion:  {"champion on the held-back part", "bisheriges Modell auf dem zurückgehaltenen Teil"},
	DemoTableChallgr:   {"challenger on the held-back part", "neues Modell auf dem zurückgehaltenen Teil"},
	DemoTableCanary:    {"canary share", "Anteil der neuen Version im Probelauf"},
	DemoTableCanaryVal: {"%[1]s of %[2]d requests, %[3]s asked", "%[1]s von %[2]d Anfragen, %[3]s verlangt"},
	DemoTableDecision:  {"decision", "Entscheidung"},
	DemoTableRequests:  {"requests", "Anfragen"},
	DemoTableRequestsV: {"%[1]d, %[2]d failed", "%[1]d, %[2]d fehlgeschlagen"},
	DemoTableMemory:    {"memory of the platform, at most", "Speicher der Plattform, höchstens"},
	DemoTableTime:      {"time in all", "Zeit insgesamt"},
	DemoPromoted:       {"promoted", "übernommen"},
	DemoNotPromoted:    {"refused, version 1 still serves", "abgelehnt, Version 1 antwortet weiter"},
	DemoPercent:        {"%.1f %%", "%.1f %%"},
	DemoCount:          {"%d", "%d"},
	DemoMegabytes:      {"%.0f MB", "%.0f MB"},
	DemoReport:         {"Report: %[1]s", "Bericht: %[1]s"},
}
