package text

// Sentences of kiwerk tracking.
const (
	TrackingShort      Key = "tracking"
	TrackingServeShort Key = "tracking.serve"
	TrackingServeLong  Key = "tracking.serve.long"

	ServeReady          Key = "tracking.serve.ready"
	ServeData           Key = "tracking.serve.data"
	ServeEverybody      Key = "tracking.serve.everybody"
	ServeIgnored        Key = "tracking.serve.ignored"
	ServeStopping       Key = "tracking.serve.stopping"
	ServeStopped        Key = "tracking.serve.stopped"
	ServePortTaken      Key = "tracking.serve.portTaken"
	ServeOpen           Key = "tracking.serve.open"
	ServeOpenTry        Key = "tracking.serve.open.try"
	ServeForeign        Key = "tracking.serve.foreign"
	ServeForeignWhy     Key = "tracking.serve.foreign.why"
	ServeUsers          Key = "tracking.serve.users"
	ServeArtifactsIn    Key = "tracking.serve.artifactsIn"
	ServeArtifactsReady Key = "tracking.serve.artifactsReady"
	UsageArtifactsOnly  Key = "usage.artifactsOnly"
	ServeReadOnly       Key = "tracking.serve.readOnly"
	ServeOtherBuild     Key = "tracking.serve.otherBuild"
	ServeOtherBuildWhy  Key = "tracking.serve.otherBuild.why"
	ServeNoDatabase     Key = "tracking.serve.noDatabase"
	ServePortForbidden  Key = "tracking.serve.portForbidden"
	UsagePort           Key = "usage.port"
	ServeNewer          Key = "tracking.serve.newer"
	ServeFailed         Key = "tracking.serve.failed"
	ServeNoAdmin        Key = "tracking.serve.noAdmin"

	UsageAppName     Key = "usage.appName"
	UsageEnvironment Key = "usage.environment"
	ServeLevel       Key = "serve.level"
	UsageFrame       Key = "usage.frame"

	FlagServeHost            Key = "flag.serve.host"
	FlagServePort            Key = "flag.serve.port"
	FlagBackendStore         Key = "flag.serve.backendStore"
	FlagRegistryStore        Key = "flag.serve.registryStore"
	FlagArtifactRoot         Key = "flag.serve.artifactRoot"
	FlagArtifactsDestination Key = "flag.serve.artifactsDestination"
	FlagServeArtifacts       Key = "flag.serve.serveArtifacts"
	FlagNoServeArtifacts     Key = "flag.serve.noServeArtifacts"
	FlagArtifactsOnly        Key = "flag.serve.artifactsOnly"
	FlagStaticPrefix         Key = "flag.serve.staticPrefix"
	FlagAllowedHosts         Key = "flag.serve.allowedHosts"
	FlagOrigins              Key = "flag.serve.origins"
	FlagFrameOptions         Key = "flag.serve.frameOptions"
	FlagNoSecurity           Key = "flag.serve.noSecurity"
	FlagPrometheus           Key = "flag.serve.prometheus"
	FlagAppName              Key = "flag.serve.appName"
	FlagWorkspaces           Key = "flag.serve.workspaces"
	FlagNoWorkspaces         Key = "flag.serve.noWorkspaces"
	FlagCertFile             Key = "flag.serve.certFile"
	FlagKeyFile              Key = "flag.serve.keyFile"
	FlagInsecure             Key = "flag.serve.insecure"
	FlagMeaningless          Key = "flag.serve.meaningless"
)

var trackingTexts = map[Key]entry{
	TrackingShort:      {"Track experiments and models without Kubernetes", "Experimente und Modelle ohne Kubernetes verfolgen"},
	TrackingServeShort: {"Serve tracking and registry to MLflow's clients", "Experimentverfolgung und Modellregister für MLflows Clients bereitstellen"},
	TrackingServeLong: {
		"Serves experiment tracking and the model registry on their own, for the unmodified clients of MLflow.\nFlags and environment variables are those of `mlflow server`.",
		"Stellt Experimentverfolgung und Modellregister allein bereit, für die unveränderten Clients von MLflow.\nOptionen und Umgebungsvariablen sind die von `mlflow server`.",
	},

	ServeReady:          {"Tracking is ready in %s: %s\n\n  export MLFLOW_TRACKING_URI=%[2]s\n", "Die Experimentverfolgung ist nach %s bereit: %s\n\n  export MLFLOW_TRACKING_URI=%[2]s\n"},
	ServeData:           {"Database %s, artifacts %s", "Datenbank %s, Artefakte %s"},
	ServeEverybody:      {"Everybody who reaches %s may read and change everything (--insecure).", "Wer %s erreicht, darf alles lesen und ändern (--insecure)."},
	ServeIgnored:        {"%s means nothing here and is ignored: one process serves everything, from one database, and has no caches to set.", "%s bedeutet hier nichts und wird übergangen: Ein Prozess bedient alles, aus einer Datenbank, und hat keine einstellbaren Zwischenspeicher."},
	ServeStopping:       {"Stopping; requests that are running may end.", "Wird beendet; laufende Anfragen dürfen zu Ende gehen."},
	ServeStopped:        {"Stopped.", "Beendet."},
	ServePortTaken:      {"port %s is taken", "Der Port %s ist belegt"},
	ServeOpen:           {"%s is reached from other machines, and nothing would keep them out", "%s ist von anderen Rechnern aus erreichbar, und nichts hielte sie ab"},
	ServeOpenTry:        {"kiwerk tracking serve --host %s --app-name basic-auth --tls-cert-file FILE --tls-key-file FILE, or --insecure in a network that you trust", "kiwerk tracking serve --host %s --app-name basic-auth --tls-cert-file DATEI --tls-key-file DATEI, oder --insecure in einem Netz, dem Sie vertrauen"},
	ServeForeign:        {"%s is not a database of Kiwerk", "%s ist keine Datenbank von Kiwerk"},
	ServeForeignWhy:     {"One of MLflow's is imported into a new one; it stays as it is.", "Eine von MLflow wird in eine neue übernommen; sie bleibt, wie sie ist."},
	ServeUsers:          {"Users in database %s, artifacts %s", "Benutzer in der Datenbank %s, Artefakte %s"},
	ServeArtifactsIn:    {"Artifacts %s", "Artefakte %s"},
	ServeArtifactsReady: {"Artifacts are ready in %s: %s\n\n  The tracking server: --default-artifact-root mlflow-artifacts://%[3]s/ --no-serve-artifacts\n", "Die Artefakte sind nach %s bereit: %s\n\n  Der Tracking-Server: --default-artifact-root mlflow-artifacts://%[3]s/ --no-serve-artifacts\n"},
	UsageArtifactsOnly:  {"--artifacts-only has no database of runs: leave --backend-store-uri out (with --app-name basic-auth it is where users are kept)", "--artifacts-only hat keine Datenbank der Läufe: --backend-store-uri weglassen (mit --app-name basic-auth liegen dort die Benutzer)"},
	ServeReadOnly:       {"this user may not write the database or the artifacts", "Dieser Benutzer darf die Datenbank oder die Artefakte nicht schreiben"},
	ServeOtherBuild:     {"%s was made by a build of this program that was never released", "%s stammt von einem Stand dieses Programms, der nie veröffentlicht wurde"},
	ServeOtherBuildWhy: {
		"Its schema has changed since. Export it with that build (kiwerk tracking export ./mlruns) and import it here (kiwerk tracking import ./mlruns), or begin with a new database.",
		"Ihr Schema hat sich seither geändert. Mit jenem Stand exportieren (kiwerk tracking export ./mlruns) und hier übernehmen (kiwerk tracking import ./mlruns), oder mit einer neuen Datenbank beginnen.",
	},
	ServeNoDatabase:    {"the database %s cannot be reached, or does not let this user in", "Die Datenbank %s ist nicht erreichbar oder lässt diesen Benutzer nicht ein"},
	ServePortForbidden: {"you may not listen on %s", "An %s dürfen Sie nicht lauschen"},
	ServeNewer:         {"%s was written by a newer version of this program", "%s wurde von einer neueren Version dieses Programms geschrieben"},
	ServeFailed:        {"tracking could not start", "Die Experimentverfolgung konnte nicht starten"},
	ServeNoAdmin:       {"nobody could log in", "Niemand könnte sich anmelden"},

	UsageAppName:     {"--app-name %q is not known; only basic-auth is", "--app-name %q ist unbekannt; es gibt nur basic-auth"},
	UsagePort:        {"--port %s: a port is a number from 0 to 65535, and 0 takes a free one", "--port %s: ein Port ist eine Zahl von 0 bis 65535, und 0 nimmt einen freien"},
	ServeLevel:       {"%s is %q; there are DEBUG, INFO, WARNING, ERROR and CRITICAL", "%s ist %q; es gibt DEBUG, INFO, WARNING, ERROR und CRITICAL"},
	UsageFrame:       {"--x-frame-options %q is not known; there are SAMEORIGIN, DENY and NONE", "--x-frame-options %q ist unbekannt; es gibt SAMEORIGIN, DENY und NONE"},
	UsageEnvironment: {"the environment variable %s has the value %q, which its flag does not take", "Die Umgebungsvariable %s hat den Wert %q, den ihre Option nicht annimmt"},

	FlagServeHost:            {"address to listen on", "Adresse, an der gelauscht wird"},
	FlagServePort:            {"port; 0 takes a free one and prints it", "Port; 0 nimmt einen freien und nennt ihn"},
	FlagBackendStore:         {"database of runs and models: sqlite:///FILE or postgresql://…", "Datenbank der Läufe und Modelle: sqlite:///DATEI oder postgresql://…"},
	FlagRegistryStore:        {"the same as --backend-store-uri, or empty", "dasselbe wie --backend-store-uri, oder leer"},
	FlagArtifactRoot:         {"folder or bucket in which clients keep the artifacts of new experiments; empty sends them through the server", "Ordner oder Bucket, in dem Clients die Artefakte neuer Experimente ablegen; leer nimmt sie der Server entgegen"},
	FlagArtifactsDestination: {"folder or bucket of the artifacts that the server takes", "Ordner oder Bucket der Artefakte, die der Server entgegennimmt"},
	FlagServeArtifacts:       {"take artifacts and hand them out", "Artefakte entgegennehmen und ausgeben"},
	FlagNoServeArtifacts:     {"leave artifacts to the clients", "Artefakte den Clients überlassen"},
	FlagArtifactsOnly:        {"serve artifacts and nothing else, for a tracking server elsewhere", "nur Artefakte bereitstellen, für einen Tracking-Server anderswo"},
	FlagStaticPrefix:         {"path under which the server answers, too", "Pfad, unter dem der Server ebenfalls antwortet"},
	FlagAllowedHosts:         {"names under which the server may be called, with * for any letters", "Namen, unter denen der Server gerufen werden darf, mit * für beliebige Zeichen"},
	FlagOrigins:              {"origins of web pages that may call the server", "Herkunft von Webseiten, die den Server rufen dürfen"},
	FlagFrameOptions:         {"X-Frame-Options of answers: SAMEORIGIN, DENY or NONE", "X-Frame-Options der Antworten: SAMEORIGIN, DENY oder NONE"},
	FlagNoSecurity:           {"do not check host and origin of requests (dangerous)", "Host und Herkunft von Anfragen nicht prüfen (gefährlich)"},
	FlagPrometheus:           {"serve /metrics; the folder is not needed", "/metrics bereitstellen; der Ordner wird nicht gebraucht"},
	FlagAppName:              {"basic-auth for users and permissions", "basic-auth für Benutzer und Rechte"},
	FlagWorkspaces:           {"keep workspaces apart", "Arbeitsbereiche trennen"},
	FlagNoWorkspaces:         {"one workspace (the default)", "ein Arbeitsbereich (die Vorgabe)"},
	FlagCertFile:             {"certificate for HTTPS", "Zertifikat für HTTPS"},
	FlagKeyFile:              {"key of the certificate", "Schlüssel des Zertifikats"},
	FlagInsecure:             {"trust everybody who reaches the address", "jedem vertrauen, der die Adresse erreicht"},
	FlagMeaningless:          {"taken for the sake of mlflow server; means nothing here", "angenommen wegen mlflow server; bedeutet hier nichts"},
}
