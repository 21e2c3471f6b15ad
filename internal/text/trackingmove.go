package text

// Sentences of kiwerk tracking import and export.
const (
	ImportShort          Key = "tracking.import"
	ImportLong           Key = "tracking.import.long"
	ImportSame           Key = "tracking.import.same"
	ImportDiffers        Key = "tracking.import.differs"
	ImportUnread         Key = "tracking.import.unread"
	ImportCopied         Key = "tracking.import.copied"
	ImportElsewhere      Key = "tracking.import.elsewhere"
	ImportMissing        Key = "tracking.import.missing"
	ImportRefused        Key = "tracking.import.refused"
	ImportScorer         Key = "tracking.import.scorer"
	ImportProgress       Key = "tracking.import.progress"
	ImportLinks          Key = "tracking.import.links"
	ImportServe          Key = "tracking.import.serve"
	ImportNotSame        Key = "tracking.import.notSame"
	ImportNotSameWhy     Key = "tracking.import.notSame.why"
	ImportFailed         Key = "tracking.import.failed"
	ImportTaken          Key = "tracking.import.taken"
	ImportArtifactsUsage Key = "tracking.import.artifacts"
	ImportTakenTry       Key = "tracking.import.taken.try"
	ImportNoSource       Key = "tracking.import.noSource"
	ImportItself         Key = "tracking.import.itself"
	FlagImportTo         Key = "flag.import.to"
	FlagImportArtifacts  Key = "flag.import.artifacts"
	FlagImportFrom       Key = "flag.import.from"
	FlagImportDryRun     Key = "flag.import.dryRun"
	ExportShort          Key = "tracking.export"
	ExportLong           Key = "tracking.export.long"
	ExportDone           Key = "tracking.export.done"
	ExportKept           Key = "tracking.export.kept"
	ExportRefused        Key = "tracking.export.refused"
	ExportFailed         Key = "tracking.export.failed"
	ExportEmpty          Key = "tracking.export.empty"
	ExportOccupied       Key = "tracking.export.occupied"
	ExportOccupiedTry    Key = "tracking.export.occupied.try"
	FlagExportFrom       Key = "flag.export.from"
	FlagExportWorkspace  Key = "flag.export.workspace"
)

var trackingMoveTexts = map[Key]entry{
	ImportShort: {"Bring experiments, runs and models over from MLflow", "Experimente, Läufe und Modelle von MLflow übernehmen"},
	ImportLong: {
		"Brings over what MLflow has, from its database (sqlite:///FILE or postgresql://…, MLflow 2.0 to 3.17.2), from a running server (http://… or https://…, with the environment variables of MLflow's clients) or from a folder mlruns: experiments, runs, metrics with their history, parameters, tags, data sets, logged models, registered models with versions and aliases, prompts, traces with spans and assessments; from a database or server evaluation datasets, from a database also scorers and issues; with their ids, times and states. Webhooks, review queues, users and permissions stay behind. A database of Kiwerk can be the source, too, as on the way from SQLite to PostgreSQL.\nThe source is only read. An import that was interrupted goes on when it is started again, and nothing is there twice. At the end both sides are read and compared.",
		"Übernimmt, was MLflow hat, aus seiner Datenbank (sqlite:///DATEI oder postgresql://…, MLflow 2.0 bis 3.17.2), von einem laufenden Server (http://… oder https://…, mit den Umgebungsvariablen der MLflow-Clients) oder aus einem Ordner mlruns: Experimente, Läufe, Metriken mit ihrem Verlauf, Parameter, Tags, Datensätze, protokollierte Modelle, registrierte Modelle mit Versionen und Aliasnamen, Prompts, Traces mit Spans und Bewertungen; aus einer Datenbank oder von einem Server Datensätze der Evaluation, aus einer Datenbank auch Scorer und Probleme; mit ihren Kennungen, Zeiten und Zuständen. Webhooks, Prüflisten, Benutzer und Rechte bleiben zurück. Auch eine Datenbank von Kiwerk kann die Quelle sein, so auf dem Weg von SQLite zu PostgreSQL.\nDie Quelle wird nur gelesen. Eine unterbrochene Übernahme geht weiter, wenn sie erneut gestartet wird, und nichts ist doppelt vorhanden. Am Ende werden beide Seiten gelesen und verglichen.",
	},
	ImportSame:           {"yes", "ja"},
	ImportDiffers:        {"NO", "NEIN"},
	ImportUnread:         {"not read", "nicht gelesen"},
	ImportCopied:         {"%d {file|files} copied (%s), each read back and compared", "%d {Datei|Dateien} kopiert (%s), jede zurückgelesen und verglichen"},
	ImportMissing:        {"Files of %d {run or model|runs and models} are not where the source says, and were not copied: was its folder moved? Make a link at the old place to the new one, and import into a new database", "Dateien von %d {Lauf oder Modell|Läufen und Modellen} liegen nicht dort, wo die Quelle sagt, und wurden nicht kopiert: wurde ihr Ordner verschoben? Am alten Ort eine Verknüpfung auf den neuen anlegen und in eine neue Datenbank übernehmen"},
	ImportElsewhere:      {"Files of %d {run, model or trace|runs, models and traces} lie elsewhere and stay there; with --artifacts-from DIR those of mlflow-artifacts: are copied", "Dateien von %d {Lauf, Modell oder Trace|Läufen, Modellen und Traces} liegen anderswo und bleiben dort; mit --artifacts-from ORDNER werden die von mlflow-artifacts: kopiert"},
	ImportRefused:        {"left behind: %s", "zurückgelassen: %s"},
	ImportScorer:         {"The scorer %s stays behind: it is Python source, which runs where it is loaded, or asks a model of the AI gateway", "Der Scorer %s bleibt zurück: er ist Python-Quelltext, der läuft, wo man ihn lädt, oder fragt ein Modell des AI-Gateways"},
	ImportLinks:          {"the server is asked which traces are linked to each run: %d of %d runs", "der Server wird zu jedem Lauf nach verknüpften Traces gefragt: %d von %d Läufen"},
	ImportProgress:       {"%d {run|runs}, %d metric {point|points}, %d {trace|traces}", "%d {Lauf|Läufe}, %d {Metrikpunkt|Metrikpunkte}, %d {Trace|Traces}"},
	ImportServe:          {"Start it with:  %s", "Starten mit:  %s"},
	ImportNotSame:        {"both sides differ after the import", "nach der Übernahme unterscheiden sich beide Seiten"},
	ImportNotSameWhy:     {"something was written to one of them meanwhile, or what was there before has other values; the table shows where", "inzwischen wurde auf einer Seite geschrieben, oder was zuvor da war, hat andere Werte; die Tabelle zeigt, wo"},
	ImportFailed:         {"the import did not finish", "die Übernahme wurde nicht fertig"},
	ImportTaken:          {"an id or a name is in use here", "eine Kennung oder ein Name wird hier schon verwendet"},
	ImportArtifactsUsage: {"--artifacts %q: it is copy or reference", "--artifacts %q: möglich sind copy und reference"},
	ImportTakenTry:       {"kiwerk tracking import SOURCE --to sqlite:///another.db", "kiwerk tracking import QUELLE --to sqlite:///eine-andere.db"},
	ImportNoSource:       {"databases of %q cannot be the source; SQLite, PostgreSQL, servers and folders mlruns can", "Datenbanken von %q können nicht die Quelle sein, SQLite, PostgreSQL, Server und Ordner mlruns schon"},
	ImportItself:         {"%s is source and target; name another database with --to", "%s ist Quelle und Ziel; mit --to eine andere Datenbank nennen"},
	FlagImportTo:         {"database that is filled, as kiwerk tracking serve --backend-store-uri takes it", "Datenbank, die gefüllt wird, wie bei kiwerk tracking serve --backend-store-uri"},
	FlagImportArtifacts:  {"copy files that lie on this machine, or reference them where they are", "copy kopiert Dateien auf diesem Rechner, reference lässt sie, wo sie sind"},
	FlagImportFrom:       {"folder that MLflow's server had as --artifacts-destination", "Ordner, den MLflows Server als --artifacts-destination hatte"},
	FlagImportDryRun:     {"read and count only", "nur lesen und zählen"},
	ExportShort:          {"Write experiments, runs and models as MLflow's folder mlruns", "Experimente, Läufe und Modelle als MLflows Ordner mlruns schreiben"},
	ExportLong: {
		"Writes what tracking has into DIR as MLflow's file store keeps it. An export that was interrupted goes on when it is started again; runs, logged models and traces that are there are left alone. A folder that holds other experiments or registered models under the same numbers or names is refused before anything is written. Clients since 3.13 read such a folder only with MLFLOW_ALLOW_FILE_STORE=true.",
		"Schreibt, was verfolgt wurde, so nach DIR, wie MLflows Dateispeicher es ablegt. Ein unterbrochener Export geht weiter, wenn er erneut gestartet wird; vorhandene Läufe, protokollierte Modelle und Traces bleiben unberührt. Ein Ordner, der unter denselben Nummern oder Namen andere Experimente oder registrierte Modelle enthält, wird abgelehnt, bevor etwas geschrieben ist. Clients ab 3.13 lesen einen solchen Ordner nur mit MLFLOW_ALLOW_FILE_STORE=true.",
	},
	ExportDone:          {"%s: %d {experiment|experiments}, %d {run|runs}, %d metric {point|points}, %d logged {model|models}, %d registered {model|models}, %d {trace|traces}, %d {file|files}", "%s: %d {Experiment|Experimente}, %d {Lauf|Läufe}, %d {Metrikpunkt|Metrikpunkte}, %d {protokolliertes Modell|protokollierte Modelle}, %d {registriertes Modell|registrierte Modelle}, %d {Trace|Traces}, %d {Datei|Dateien}"},
	ExportKept:          {"there already and left alone: %d {run|runs}, %d logged {model|models}, %d {trace|traces}", "schon da und nicht angerührt: %d {Lauf|Läufe}, %d {protokolliertes Modell|protokollierte Modelle}, %d {Trace|Traces}"},
	ExportRefused:       {"left out, because no file can have this name here: %s", "ausgelassen, weil hier keine Datei so heißen kann: %s"},
	ExportFailed:        {"the export did not finish", "der Export wurde nicht fertig"},
	ExportEmpty:         {"the project %q has neither experiments nor models", "das Projekt %q hat weder Experimente noch Modelle"},
	ExportOccupied:      {"the folder holds something else; nothing was written", "der Ordner enthält etwas anderes; es wurde nichts geschrieben"},
	ExportOccupiedTry:   {"kiwerk tracking export ./another-folder", "kiwerk tracking export ./anderer-ordner"},
	FlagExportFrom:      {"database that is read, as kiwerk tracking serve --backend-store-uri takes it", "Datenbank, die gelesen wird, wie bei kiwerk tracking serve --backend-store-uri"},
	FlagExportWorkspace: {"project that is exported", "Projekt, das exportiert wird"},
}
