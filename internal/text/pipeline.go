package text

// Sentences of kiwerk pipeline.
const (
	PipelineShort          Key = "pipeline"
	PipelineListShort      Key = "pipeline.list"
	PipelineShowShort      Key = "pipeline.show"
	PipelineSubmitShort    Key = "pipeline.submit"
	PipelineLogsShort      Key = "pipeline.logs"
	PipelineSuspendShort   Key = "pipeline.suspend"
	PipelineResumeShort    Key = "pipeline.resume"
	PipelineStopShort      Key = "pipeline.stop"
	PipelineTerminateShort Key = "pipeline.terminate"
	PipelineRetryShort     Key = "pipeline.retry"
	PipelineResubmitShort  Key = "pipeline.resubmit"
	PipelineSubmitted      Key = "pipeline.submitted"
	PipelineChanged        Key = "pipeline.changed"
	PipelineFailed         Key = "pipeline.failed"
	PipelineNotEnded       Key = "pipeline.notEnded"
	PipelineNoFile         Key = "pipeline.noFile"
	PipelineUnreadable     Key = "pipeline.unreadable"
	PipelineNoWorkflow     Key = "pipeline.noWorkflow"
	PipelineParameter      Key = "pipeline.parameter"
	PipelineNoStep         Key = "pipeline.noStep"

	FlagPipelineFrom       Key = "flag.pipeline.from"
	FlagPipelineParameter  Key = "flag.pipeline.parameter"
	FlagPipelineEntrypoint Key = "flag.pipeline.entrypoint"
	FlagPipelineWait       Key = "flag.pipeline.wait"
	FlagFollow             Key = "flag.follow"
)

var pipelineTexts = map[Key]entry{
	PipelineShort:          {"Submit, watch and repeat pipelines (Argo workflows)", "Pipelines (Argo-Workflows) starten, beobachten und wiederholen"},
	PipelineListShort:      {"List the pipeline runs of a project, newest first", "Die Pipelineläufe eines Projekts auflisten, neueste zuerst"},
	PipelineShowShort:      {"Show a run with its steps, failed ones first", "Einen Lauf mit seinen Schritten zeigen, gescheiterte zuerst"},
	PipelineSubmitShort:    {"Start a run from a file (- is standard input) or a WorkflowTemplate", "Einen Lauf aus einer Datei (- ist die Standardeingabe) oder einem WorkflowTemplate starten"},
	PipelineLogsShort:      {"Print what the steps of a run have written", "Ausgeben, was die Schritte eines Laufs geschrieben haben"},
	PipelineSuspendShort:   {"Begin no new steps until resumed", "Keine neuen Schritte beginnen, bis es weitergeht"},
	PipelineResumeShort:    {"Let a suspended run go on", "Einen ausgesetzten Lauf fortsetzen"},
	PipelineStopShort:      {"End a run, with its exit handler", "Einen Lauf beenden, mit seinem onExit-Schritt"},
	PipelineTerminateShort: {"End a run at once, without its exit handler", "Einen Lauf sofort beenden, ohne seinen onExit-Schritt"},
	PipelineRetryShort:     {"Run again what did not succeed", "Wiederholen, was nicht gelungen ist"},
	PipelineResubmitShort:  {"Start a new run like an old one", "Einen neuen Lauf wie einen alten starten"},
	PipelineSubmitted:      {"Run %s started in project %s.\nNext: kiwerk pipeline logs %s -f -n %s", "Lauf %s im Projekt %s gestartet.\nWeiter: kiwerk pipeline logs %s -f -n %s"},
	PipelineChanged:        {"Run %s in project %s is told.\nNext: kiwerk pipeline show %s -n %s", "Lauf %s im Projekt %s weiß Bescheid.\nWeiter: kiwerk pipeline show %s -n %s"},
	PipelineFailed:         {"Run %s ended as %s.\nNext: kiwerk pipeline logs %s | kiwerk pipeline retry %s", "Lauf %s endete als %s.\nWeiter: kiwerk pipeline logs %s | kiwerk pipeline retry %s"},
	PipelineNotEnded:       {"run %s has not ended within %s; it is %s and goes on", "Lauf %s ist nach %s nicht beendet; er ist %s und läuft weiter"},
	PipelineNoFile:         {"there is no file %s", "die Datei %s gibt es nicht"},
	PipelineUnreadable:     {"%s is no valid YAML", "%s ist kein gültiges YAML"},
	PipelineNoWorkflow:     {"%s holds no Workflow; templates and other objects are applied", "%s enthält keinen Workflow; Templates und andere Objekte werden angewendet"},
	PipelineParameter:      {"-p %s: expected NAME=VALUE", "-p %s: erwartet wird NAME=WERT"},
	PipelineNoStep:         {"run %s has no step %q that has run", "Lauf %s hat keinen gelaufenen Schritt %q"},

	FlagPipelineFrom:       {"name of the WorkflowTemplate to run", "Name des WorkflowTemplate, das laufen soll"},
	FlagPipelineParameter:  {"NAME=VALUE, as often as needed", "NAME=WERT, so oft wie nötig"},
	FlagPipelineEntrypoint: {"template to begin with", "Template, mit dem begonnen wird"},
	FlagPipelineWait:       {"return when the run has ended; the exit code says how", "zurückkehren, wenn der Lauf beendet ist; der Exit-Code sagt, wie"},
	FlagFollow:             {"go on as more is written", "weiterlesen, solange geschrieben wird"},
}
