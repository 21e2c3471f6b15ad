package text

// Sentences of kiwerk runs and kiwerk models.
const (
	RunsShort           Key = "runs"
	RunsLong            Key = "runs.long"
	RunsListShort       Key = "runs.list"
	RunsShowShort       Key = "runs.show"
	RunsCompareShort    Key = "runs.compare"
	RunsCompareLong     Key = "runs.compare.long"
	RunsExportShort     Key = "runs.export"
	RunsExportLong      Key = "runs.export.long"
	RunsTagShort        Key = "runs.tag"
	RunsDeleteShort     Key = "runs.delete"
	RunsRestoreShort    Key = "runs.restore"
	RunsDeleteLong      Key = "runs.delete.long"
	RunsGCShort         Key = "runs.gc"
	RunsGCLong          Key = "runs.gc.long"
	RunsRemoved         Key = "runs.removed"
	RunsNothing         Key = "runs.nothing"
	RunsRemovedSome     Key = "runs.removedSome"
	RunsWouldRemove     Key = "runs.wouldRemove"
	RunsKept            Key = "runs.kept"
	RunsUnknown         Key = "runs.unknown"
	RunShort            Key = "runs.short"
	RunsArchive         Key = "runs.archive"
	RunsSpared          Key = "runs.spared"
	RunsNoGC            Key = "runs.noGC"
	ReproduceShort      Key = "runs.reproduce"
	ReproduceLong       Key = "runs.reproduce.long"
	ReproduceMissing    Key = "runs.reproduce.missing"
	ReproduceMissingWhy Key = "runs.reproduce.missingWhy"
	ReproduceGone       Key = "runs.reproduce.gone"
	ReproduceStarted    Key = "runs.reproduce.started"
	ReproduceProgress   Key = "runs.reproduce.progress"
	ReproduceLate       Key = "runs.reproduce.late"
	ReproduceFailed     Key = "runs.reproduce.failed"
	ReproduceNoRun      Key = "runs.reproduce.noRun"
	ReproduceUnsure     Key = "runs.reproduce.unsure"
	ReproduceSame       Key = "runs.reproduce.same"
	ReproduceDiffers    Key = "runs.reproduce.differs"
	LineageShort        Key = "models.lineage"
	LineageLong         Key = "models.lineage.long"
	LineageGone         Key = "models.lineage.gone"
	FlagTolerance       Key = "flag.runs.tolerance"
	RunsMore            Key = "runs.more"
	RunsRead            Key = "runs.read"
	RunsNoFiles         Key = "runs.noFiles"
	RunsSame            Key = "runs.same"
	RunsTagged          Key = "runs.tagged"
	RunsDeleted         Key = "runs.deleted"
	RunsRestored        Key = "runs.restored"
	RunExported         Key = "runs.exported"
	RunAmbiguous        Key = "runs.ambiguous"
	ModelNone           Key = "models.none"
	ModelNoneWhy        Key = "models.none.why"
	ModelNoneEmpty      Key = "models.none.empty"
	ModelNoneLogged     Key = "models.none.logged"
	ModelNoneBoth       Key = "models.none.both"

	ModelsShort         Key = "models"
	ModelsLong          Key = "models.long"
	ModelsListShort     Key = "models.list"
	ModelsShowShort     Key = "models.show"
	ModelsRegisterShort Key = "models.register"
	ModelsAliasShort    Key = "models.alias"
	ModelsAliasLong     Key = "models.alias.long"
	ModelsApproveShort  Key = "models.approve"
	ModelsApproveLong   Key = "models.approve.long"
	ModelsPullShort     Key = "models.pull"
	ModelsPullLong      Key = "models.pull.long"
	ModelRegistered     Key = "models.registered"
	ModelAliased        Key = "models.aliased"
	ModelUnaliased      Key = "models.unaliased"
	ModelApproved       Key = "models.approved"
	ModelRejected       Key = "models.rejected"
	ModelPulled         Key = "models.pulled"
	ModelNothing        Key = "models.nothing"
	ModelReference      Key = "models.reference"

	TrackingURI         Key = "tracking.uri"
	TrackingCertificate Key = "tracking.certificate"
	TrackingUnreachable Key = "tracking.unreachable"
	TrackingNoAddress   Key = "tracking.noAddress"
	TrackingLogin       Key = "tracking.login"
	TrackingForbidden   Key = "tracking.forbidden"
	TrackingElsewhere   Key = "tracking.elsewhere"
	UsageTag            Key = "usage.tag"
	UsageRegister       Key = "usage.register"
	UsageParquet        Key = "usage.parquet"

	FlagTrackingURI      Key = "flag.tracking.uri"
	FlagWorkspace        Key = "flag.tracking.workspace"
	FlagExperiment       Key = "flag.runs.experiment"
	FlagFilter           Key = "flag.runs.filter"
	FlagOrderBy          Key = "flag.runs.orderBy"
	FlagLimit            Key = "flag.runs.limit"
	FlagDeleted          Key = "flag.runs.deleted"
	FlagErase            Key = "flag.runs.erase"
	FlagYes              Key = "flag.runs.yes"
	FlagOlderThan        Key = "flag.runs.olderThan"
	FlagRunIDs           Key = "flag.runs.ids"
	FlagExperimentIDs    Key = "flag.runs.experimentIDs"
	FlagDryRun           Key = "flag.runs.dryRun"
	UsageErase           Key = "usage.erase"
	FlagAllRows          Key = "flag.runs.all"
	FlagExportTo         Key = "flag.runs.to"
	FlagModelRun         Key = "flag.models.run"
	FlagModelPath        Key = "flag.models.path"
	FlagModelID          Key = "flag.models.id"
	FlagModelSource      Key = "flag.models.source"
	FlagModelDescription Key = "flag.models.description"
	FlagModelTag         Key = "flag.models.tag"
	FlagAliasDelete      Key = "flag.models.aliasDelete"
	FlagApproveAlias     Key = "flag.models.approveAlias"
	FlagPullTo           Key = "flag.models.to"
)

var runsTexts = map[Key]entry{
	RunsShort:           {"Find, compare, export and delete runs of a tracking server", "Läufe eines Tracking-Servers finden, vergleichen, exportieren und löschen"},
	RunsLong:            {"Works with the running platform, or with any tracking server that MLflow's clients know:\n--tracking-uri, or MLFLOW_TRACKING_URI with MLFLOW_TRACKING_TOKEN or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.\nFor RUN the first letters of its id are enough, four at least.", "Arbeitet mit der laufenden Plattform oder mit jedem Tracking-Server, den die Clients von MLflow kennen:\n--tracking-uri, oder MLFLOW_TRACKING_URI mit MLFLOW_TRACKING_TOKEN oder MLFLOW_TRACKING_USERNAME und MLFLOW_TRACKING_PASSWORD.\nFür LAUF genügen die ersten Zeichen seiner Kennung, mindestens vier."},
	RunsListShort:       {"List runs, newest first", "Läufe auflisten, neueste zuerst"},
	RunsShowShort:       {"Show a run: metrics, params, tags, data, files", "Einen Lauf zeigen: Metriken, Parameter, Tags, Daten, Dateien"},
	RunsCompareShort:    {"Compare two or more runs; what is the same is left out", "Zwei oder mehr Läufe vergleichen; Gleiches bleibt weg"},
	RunsCompareLong:     {"Puts runs side by side: metrics, params, code, environment, data and tags.\nOnly what differs is shown, unless --all is given.", "Stellt Läufe nebeneinander: Metriken, Parameter, Code, Umgebung, Daten und Tags.\nGezeigt wird nur, was sich unterscheidet, außer mit --all."},
	RunsExportShort:     {"Write a run with all its metrics and files to a folder or an archive", "Einen Lauf mit allen Metriken und Dateien in einen Ordner oder ein Archiv schreiben"},
	RunsExportLong:      {"Writes run.json (with the history of each metric), artifacts/, the files of models that the run logged (models/) and its traces (traces/) to a folder, or to one file when its name ends in .tar.gz.\nAn export to a folder that was broken off goes on when it is called again.", "Schreibt run.json (mit dem Verlauf jeder Metrik), artifacts/, die Dateien der Modelle, die der Lauf protokolliert hat (models/), und seine Traces (traces/) in einen Ordner, oder in eine Datei, wenn ihr Name auf .tar.gz endet.\nEin abgebrochener Export in einen Ordner geht weiter, wenn er noch einmal aufgerufen wird."},
	RunsTagShort:        {"Set tags of a run (TAG-  removes one)", "Tags eines Laufs setzen (TAG-  entfernt einen)"},
	RunsDeleteShort:     {"Mark runs as deleted; restore brings them back", "Läufe als gelöscht markieren; restore holt sie zurück"},
	RunsRestoreShort:    {"Bring deleted runs back", "Gelöschte Läufe zurückholen"},
	RunsDeleteLong:      {"A run that is marked as deleted can be restored until kiwerk runs gc removes it.\n--erase removes it at once and for good: metrics, params, tags, traces, logged models and files. Versions of registered models stay, with the logged models that they use.", "Ein als gelöscht markierter Lauf kann zurückgeholt werden, bis kiwerk runs gc ihn entfernt.\n--erase entfernt ihn sofort und endgültig: Metriken, Parameter, Tags, Traces, protokollierte Modelle und Dateien. Versionen registrierter Modelle bleiben, mit den protokollierten Modellen, die sie nutzen."},
	RunsGCShort:         {"Remove for good what is marked as deleted", "Endgültig entfernen, was als gelöscht markiert ist"},
	RunsGCLong:          {"Removes deleted runs, logged models and experiments with their files. Can be broken off and called again.", "Entfernt gelöschte Läufe, protokollierte Modelle und Experimente samt Dateien. Kann abgebrochen und wieder aufgerufen werden."},
	RunsNothing:         {"There is nothing to remove.", "Es gibt nichts zu entfernen."},
	RunsRemoved:         {"%d removed for good.", "%d endgültig entfernt."},
	RunsRemovedSome:     {"%d {was|were} removed before the failure; call it again.", "%d {wurde|wurden} vor dem Fehler entfernt; bitte noch einmal aufrufen."},
	RunsWouldRemove:     {"%d would be removed for good.\nNext: kiwerk runs gc", "%d {würde|würden} endgültig entfernt.\nWeiter: kiwerk runs gc"},
	RunsKept:            {"(files stay there)", "(Dateien bleiben dort)"},
	RunsUnknown:         {"these runs do not exist: %s", "diese Läufe gibt es nicht: %s"},
	RunShort:            {"no run has the id %s; of a longer one the first four letters are needed at least", "kein Lauf hat die Kennung %s; von einer längeren sind mindestens die ersten vier Zeichen nötig"},
	RunsArchive:         {"%s: an archive is written as .tar.gz or .tgz; other names mean a folder", "%s: ein Archiv wird als .tar.gz oder .tgz geschrieben; andere Namen meinen einen Ordner"},
	RunsSpared:          {"The logged model %s stays, as versions of registered models use it: %s.\nNext: kiwerk models show %s", "Das protokollierte Modell %s bleibt, weil Versionen registrierter Modelle es nutzen: %s.\nWeiter: kiwerk models show %s"},
	RunsNoGC:            {"the tracking server at %s has no route that removes for good", "der Tracking-Server unter %s bietet kein endgültiges Entfernen an"},
	ReproduceShort:      {"Start a run again and compare its metrics", "Einen Lauf noch einmal starten und seine Metriken vergleichen"},
	ReproduceLong:       {"Starts the pipeline of the run again, with the same manifest, parameters and seed, waits, and compares the metrics, the image, the code, the packages and the digests of the data.\nExit code 0 when nothing differs, 1 when something does.", "Startet die Pipeline des Laufs noch einmal, mit gleichem Manifest, gleichen Parametern und gleichem Startwert, wartet und vergleicht Metriken, Image, Code, Pakete und Digests der Daten.\nExit-Code 0, wenn nichts abweicht, 1, wenn etwas abweicht."},
	ReproduceMissing:    {"run %s cannot be started again: these tags are missing: %s", "Lauf %s kann nicht noch einmal gestartet werden: es fehlen die Tags %s"},
	ReproduceMissingWhy: {"a pipeline of this platform writes them when a step begins a run; nothing is known about how this one was started", "eine Pipeline dieser Plattform schreibt sie, wenn ein Schritt einen Lauf beginnt; wie dieser hier gestartet wurde, ist nicht bekannt"},
	ReproduceGone:       {"the workflow %s is not in project %s any more, so its manifest and parameters are missing", "den Workflow %s gibt es im Projekt %s nicht mehr; sein Manifest und seine Parameter fehlen"},
	ReproduceStarted:    {"Workflow %s started in project %s.", "Workflow %s im Projekt %s gestartet."},
	ReproduceProgress:   {"%s: %s steps are done", "%s: %s Schritte sind fertig"},
	ReproduceLate:       {"the workflow %s has not ended in time; it goes on", "der Workflow %s ist nicht rechtzeitig beendet; er läuft weiter"},
	ReproduceFailed:     {"the workflow %s ended as %s", "der Workflow %s endete als %s"},
	ReproduceNoRun:      {"the workflow %s has succeeded without such a run", "der Workflow %s ist gelungen, aber ohne einen solchen Lauf"},
	ReproduceUnsure:     {"Not recorded, so not compared: %s.", "Nicht aufgezeichnet, daher nicht verglichen: %s."},
	ReproduceSame:       {"Run %s is reproduced by %s.", "Lauf %s ist durch %s wiederholt."},
	ReproduceDiffers:    {"Run %s is not reproduced by %s.", "Lauf %s ist durch %s nicht wiederholt."},
	LineageShort:        {"Show run, data and endpoints of a model's versions", "Lauf, Daten und Endpunkte der Versionen eines Modells zeigen"},
	LineageLong:         {"Leads from each version to the run that made it, the data that the run read, and the endpoints that serve it.", "Führt von jeder Version zu dem Lauf, aus dem sie stammt, zu den Daten, die er gelesen hat, und zu den Endpunkten, die sie ausliefern."},
	LineageGone:         {"(removed since)", "(inzwischen entfernt)"},
	FlagTolerance:       {"how far a metric may be off, relative to its value", "wie weit eine Metrik abweichen darf, im Verhältnis zu ihrem Wert"},
	RunsMore:            {"There are more than %d {run|runs}; --limit 0 lists all.", "Es gibt mehr als %d {Lauf|Läufe}; --limit 0 zeigt alle."},
	RunsRead:            {"%d {run|runs} read", "%d {Lauf|Läufe} gelesen"},
	RunsNoFiles:         {"The files of the run could not be read: %s", "Die Dateien des Laufs waren nicht lesbar: %s"},
	RunsSame:            {"The runs do not differ in anything that was logged.", "Die Läufe unterscheiden sich in nichts, was protokolliert ist."},
	RunsTagged:          {"Tags of run %s are set.\nNext: kiwerk runs show %s", "Tags des Laufs %s sind gesetzt.\nWeiter: kiwerk runs show %s"},
	RunsDeleted:         {"%d {run is|runs are} marked as deleted.\nNext: kiwerk runs restore %s | kiwerk runs list --deleted", "%d {Lauf ist|Läufe sind} als gelöscht markiert.\nWeiter: kiwerk runs restore %s | kiwerk runs list --deleted"},
	RunsRestored:        {"%d {run is|runs are} back.\nNext: kiwerk runs show %s", "%d {Lauf ist|Läufe sind} zurück.\nWeiter: kiwerk runs show %s"},
	ModelNone:           {"run %s has no model at %q: no file MLmodel lies there, and no logged model has this name", "Lauf %s hat unter %q kein Modell: dort liegt keine Datei MLmodel, und kein protokolliertes Modell heißt so"},
	ModelNoneWhy:        {"there are: %s; files without an MLmodel are registered by --run %s --source %s", "dort liegen: %s; Dateien ohne MLmodel registriert man mit --run %s --source %s"},
	ModelNoneEmpty:      {"nothing lies there; --path names another folder among the files of the run", "dort liegt nichts; --path nennt einen anderen Ordner unter den Dateien des Laufs"},
	ModelNoneBoth:       {"there are: %s; the run has these logged models: %s", "dort liegen: %s; der Lauf hat diese protokollierten Modelle: %s"},
	ModelNoneLogged:     {"the run has these logged models: %s", "der Lauf hat diese protokollierten Modelle: %s"},
	RunAmbiguous:        {"several runs begin with %s: %s …", "mehrere Läufe beginnen mit %s: %s …"},
	RunExported:         {"Run %s lies in %s: %d {file|files}, %s; %d logged {model|models}, %d {trace|traces}.", "Lauf %s liegt in %s: %d {Datei|Dateien}, %s; %d {protokolliertes Modell|protokollierte Modelle}, %d {Trace|Traces}."},

	ModelsShort:         {"Register, approve and download models", "Modelle registrieren, freigeben und herunterladen"},
	ModelsLong:          {"The model registry of the running platform, or of any tracking server that MLflow's clients know (--tracking-uri).\nA version is written MODEL/VERSION, MODEL@ALIAS, or MODEL for its newest.", "Das Modellregister der laufenden Plattform oder eines Tracking-Servers, den die Clients von MLflow kennen (--tracking-uri).\nEine Version heißt MODELL/VERSION, MODELL@ALIAS, oder MODELL für die neueste."},
	ModelsListShort:     {"List registered models", "Registrierte Modelle auflisten"},
	ModelsShowShort:     {"Show a model with its versions, aliases and approvals", "Ein Modell mit Versionen, Aliasen und Freigaben zeigen"},
	ModelsRegisterShort: {"Make a version of a model from a run or a logged model", "Aus einem Lauf oder einem protokollierten Modell eine Version anlegen"},
	ModelsAliasShort:    {"Let an alias name a version", "Einen Alias auf eine Version zeigen lassen"},
	ModelsAliasLong:     {"Endpoints whose model is models:/MODEL@ALIAS follow the alias.", "Endpunkte, deren Modell models:/MODELL@ALIAS ist, folgen dem Alias."},
	ModelsApproveShort:  {"Approve or reject a version", "Eine Version freigeben oder ablehnen"},
	ModelsApproveLong:   {"Writes the decision as tags kiwerk.approval, .by, .at and .reason of the version; --alias moves an alias to it as well.\nA challenger that a retraining policy holds back is decided by kiwerk retrain approve.", "Schreibt die Entscheidung als Tags kiwerk.approval, .by, .at und .reason der Version; --alias setzt außerdem einen Alias auf sie.\nÜber einen Herausforderer, den eine Nachtrainingsregel zurückhält, entscheidet kiwerk retrain approve."},
	ModelsPullShort:     {"Download a version and check what came", "Eine Version herunterladen und prüfen, was ankam"},
	ModelsPullLong:      {"Files appear whole or not at all; a download that was broken off goes on when it is called again.\nEach file is checked by the server's hash where it has one, else by its size.", "Dateien erscheinen ganz oder gar nicht; ein abgebrochener Download geht weiter, wenn er noch einmal aufgerufen wird.\nJede Datei wird nach der Prüfsumme des Servers geprüft, wo er eine hat, sonst nach ihrer Größe."},
	ModelRegistered:     {"Version %s of model %s exists.\nNext: kiwerk models approve %s/%s | kiwerk models alias %s/%s champion", "Version %s des Modells %s ist angelegt.\nWeiter: kiwerk models approve %s/%s | kiwerk models alias %s/%s champion"},
	ModelAliased:        {"Alias %s names version %s of model %s.\nNext: kiwerk models pull %s@%s", "Alias %s zeigt auf Version %s des Modells %s.\nWeiter: kiwerk models pull %s@%s"},
	ModelUnaliased:      {"Alias %s of model %s is gone.\nNext: kiwerk models show %s", "Alias %s des Modells %s ist gelöscht.\nWeiter: kiwerk models show %s"},
	ModelApproved:       {"Version %s of model %s is approved.\nNext: kiwerk models show %s", "Version %s des Modells %s ist freigegeben.\nWeiter: kiwerk models show %s"},
	ModelRejected:       {"Version %s of model %s is rejected.\nNext: kiwerk models show %s", "Version %s des Modells %s ist abgelehnt.\nWeiter: kiwerk models show %s"},
	ModelPulled:         {"Version %[2]s of model %[1]s lies in %[3]s.", "Version %[2]s des Modells %[1]s liegt in %[3]s."},
	ModelNothing:        {"no file lies at %s, so there is nothing to download", "unter %s liegt keine Datei, also gibt es nichts herunterzuladen"},
	ModelReference:      {"a model version is written MODEL/VERSION, MODEL@ALIAS, or MODEL for its newest", "eine Modellversion heißt MODELL/VERSION, MODELL@ALIAS, oder MODELL für die neueste"},

	TrackingURI:         {"%q is no address of a tracking server; it begins with http:// or https://", "%q ist keine Adresse eines Tracking-Servers; sie beginnt mit http:// oder https://"},
	TrackingCertificate: {"%s holds no certificate (MLFLOW_TRACKING_SERVER_CERT_PATH)", "%s enthält kein Zertifikat (MLFLOW_TRACKING_SERVER_CERT_PATH)"},
	TrackingUnreachable: {"the tracking server at %s does not answer", "der Tracking-Server unter %s antwortet nicht"},
	TrackingNoAddress:   {"For another server say its address: --tracking-uri http://HOST:PORT, or MLFLOW_TRACKING_URI. One without Kubernetes is started by kiwerk tracking serve.", "Ein anderer Server wird mit seiner Adresse genannt: --tracking-uri http://RECHNER:PORT, oder MLFLOW_TRACKING_URI. Einen ohne Kubernetes startet kiwerk tracking serve."},
	TrackingLogin:       {"the tracking server at %s wants to know who asks", "der Tracking-Server unter %s will wissen, wer fragt"},
	TrackingForbidden:   {"the account has no permission for it in this project", "das Konto darf das in diesem Projekt nicht"},
	TrackingElsewhere:   {"the files lie where the tracking server does not read them; fetch them from there", "die Dateien liegen, wo der Tracking-Server sie nicht liest; bitte von dort holen"},
	UsageTag:            {"%s: a tag is written TAG=VALUE", "%s: ein Tag heißt TAG=WERT"},
	UsageRegister:       {"say what the version is made from: --run, --model-id or --source", "bitte sagen, woraus die Version entsteht: --run, --model-id oder --source"},
	UsageParquet:        {"Parquet is not for a terminal; lead it into a file", "Parquet ist nichts für ein Terminal; bitte in eine Datei leiten"},

	FlagTrackingURI:      {"address of another tracking server (MLFLOW_TRACKING_URI)", "Adresse eines anderen Tracking-Servers (MLFLOW_TRACKING_URI)"},
	FlagWorkspace:        {"the project, as other servers call it (MLFLOW_WORKSPACE)", "das Projekt, wie andere Server es nennen (MLFLOW_WORKSPACE)"},
	FlagExperiment:       {"name or id of an experiment, as often as needed; none means all", "Name oder Nummer eines Experiments, so oft wie nötig; keines heißt alle"},
	FlagFilter:           {"filter in MLflow's language", "Filter in der Sprache von MLflow"},
	FlagOrderBy:          {"order in MLflow's language, as often as needed", "Reihenfolge in der Sprache von MLflow, so oft wie nötig"},
	FlagLimit:            {"at most so many, 0 for all", "höchstens so viele, 0 für alle"},
	FlagDeleted:          {"list what is marked as deleted", "auflisten, was als gelöscht markiert ist"},
	FlagErase:            {"remove at once and for good, files as well", "sofort und endgültig entfernen, auch Dateien"},
	FlagYes:              {"yes, really", "ja, wirklich"},
	FlagOlderThan:        {"only what was deleted at least so long ago: 30d, 12h", "nur, was mindestens so lange gelöscht ist: 30d, 12h"},
	FlagRunIDs:           {"only these runs", "nur diese Läufe"},
	FlagExperimentIDs:    {"only these experiments and what lies in them", "nur diese Experimente und was in ihnen liegt"},
	FlagDryRun:           {"only say what would be removed", "nur sagen, was entfernt würde"},
	UsageErase:           {"--erase cannot be undone; confirm it by --yes", "--erase lässt sich nicht rückgängig machen; bitte mit --yes bestätigen"},
	FlagAllRows:          {"show what is the same, too", "auch Gleiches zeigen"},
	FlagExportTo:         {"folder or file to write to; otherwise a folder with the id of the run", "Ordner oder Datei als Ziel; sonst ein Ordner, der wie der Lauf heißt"},
	FlagModelRun:         {"run that made the model", "Lauf, der das Modell erzeugt hat"},
	FlagModelPath:        {"folder of the model among the files of the run, or name of the model that it logged", "Ordner des Modells unter den Dateien des Laufs, oder Name des Modells, das er protokolliert hat"},
	FlagModelID:          {"logged model (m-…)", "protokolliertes Modell (m-…)"},
	FlagModelSource:      {"address of the files, for what no run has made", "Adresse der Dateien, wenn kein Lauf sie erzeugt hat"},
	FlagModelDescription: {"what people should know about the version", "was man über die Version wissen sollte"},
	FlagModelTag:         {"TAG=VALUE, as often as needed", "TAG=WERT, so oft wie nötig"},
	FlagAliasDelete:      {"remove the alias", "den Alias entfernen"},
	FlagApproveAlias:     {"alias that shall name the version from now on", "Alias, der ab jetzt auf die Version zeigen soll"},
	FlagPullTo:           {"folder to write to; otherwise one with the name of the version", "Ordner als Ziel; sonst einer, der wie die Version heißt"},
}
