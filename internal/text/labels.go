package text

// Label is a word beside a value or over a column: a name that programs know,
// which the reader's language may have another word for. What has none, as the
// name of a metric, stays as it is.
func (p *Printer) Label(name string) string {
	if e, ok := labels[name]; ok && p.lang == "de" {
		return e
	}
	return name
}

// Labels are the heads of a table.
func (p *Printer) Labels(names ...string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = p.Label(n)
	}
	return list
}

// Labelled tells whether a label was thought of in German, if only to keep it.
func Labelled(name string) bool {
	_, ok := labels[name]
	return ok
}

// labels are by their English form. Names of Kubernetes' own are the same in both.
var labels = map[string]string{
	// Heads of tables.
	"ADDED": "HINZUGEFÜGT", "CPU": "CPU", "CREATED": "ANGELEGT", "FIX": "KORREKTUR", "GPU": "GPU", "GPUS": "GPUS", "HEALTH": "BEFINDEN",
	"HERE": "HIER", "ID": "ID", "IMAGE": "IMAGE", "IN USE": "BENUTZT", "KIND": "ART", "MEMORY": "SPEICHER", "MESSAGE": "MELDUNG", "NAME": "NAME",
	"NAMESPACE": "NAMESPACE", "NODE": "KNOTEN", "OUTPUTS": "AUSGABEN", "PHASE": "PHASE", "POD": "POD", "PODS": "PODS",
	"POLICY": "REGEL", "PORT": "PORT", "PROGRESS": "FORTSCHRITT", "REASON": "GRUND", "RETRAINING": "NACHTRAINING", "RUNS AS": "LÄUFT ALS",
	"SEVERITY": "SCHWERE", "SIZE": "GRÖSSE", "SOURCE": "HERKUNFT", "STATUS": "ZUSTAND", "STEP": "SCHRITT", "SUM": "SUMME", "TEMP": "TEMP",
	"TEMPLATE": "VORLAGE", "TIME": "ZEIT", "TOOK": "DAUER", "UTIL": "LAST", "UUID": "UUID", "WHAT": "WAS",

	// Heads of runs and models.
	"ALIASES": "ALIASE", "APPROVAL": "FREIGABE", "ARTIFACTS": "ARTEFAKTE", "CHANGED": "GEÄNDERT", "CHECKED BY": "GEPRÜFT NACH", "COMMIT": "COMMIT", "DATA": "DATEN",
	"DELTA": "ABSTAND", "DESCRIPTION": "BESCHREIBUNG", "EXPERIMENT": "EXPERIMENT", "FILES": "DATEIEN", "KEY": "SCHLÜSSEL", "METRICS": "METRIKEN", "METRIC": "METRIK", "SAME": "GLEICH", "ENDPOINT": "ENDPUNKT", "WORKFLOW": "WORKFLOW", "MODEL": "MODELL", "MODELS": "MODELLE",
	"PARAMS": "PARAMETER", "OTHER": "ANDERER", "RUN": "LAUF", "SHA256": "SHA256", "STARTED": "BEGONNEN", "TAGS": "TAGS", "VERSION": "VERSION",
	// Sections of comparisons, and by what a file was checked.
	"run": "Lauf", "metrics": "Metriken", "params": "Parameter", "code": "Code", "environment": "Umgebung", "data": "Daten", "tags": "Tags", "sha256": "SHA-256", "image": "Image", "commit": "Commit", "seed": "Startwert",
	"logged-model": "Modell", "experiment": "Experiment", "status": "Zustand", "name": "Name",
	// Kinds of what an import brings.
	"experiments": "Experimente", "runs": "Läufe", "inputs": "Ein- und Ausgaben", "logged models": "protokollierte Modelle", "registered models": "registrierte Modelle",
	"model versions": "Modellversionen", "aliases": "Aliase", "traces": "Traces", "spans": "Spans", "assessments": "Bewertungen",
	"evaluation datasets": "Datensätze der Evaluation", "evaluation records": "Einträge darin", "scorers": "Scorer", "issues": "Probleme",

	// What stands for an argument in the call of a command, beside the heads above.
	"ARGS": "ARGUMENTE", "COMMAND": "BEFEHL", "FILE": "DATEI", "FOLDER": "ORDNER", "SHELL": "SHELL", "DIR": "ORDNER", "USER": "BENUTZER", "ALIAS": "ALIAS", "TAG": "TAG", "VALUE": "WERT", "WHY": "GRUND",

	// Kinds of values of flags.
	"string": "Text", "strings": "Liste", "stringArray": "Text", "duration": "Dauer", "float": "Zahl", "float64": "Zahl", "int": "Zahl", "uint": "Zahl",

	// Properties.
	"architecture": "Architektur", "cmd": "Befehl", "digests": "Digests", "entrypoint": "Startbefehl", "env": "Umgebung", "id": "ID",
	"label": "Label", "layers": "Schichten", "names": "Namen", "ports": "Ports", "size": "Größe", "source": "Herkunft",
	"stopSignal": "Stoppsignal", "user": "Benutzer", "volumes": "Volumes", "workingDir": "Arbeitsordner", "load": "geladen", "pull": "geholt",

	// Parts of a platform and its machine.
	"kiwerk": "Kiwerk", "kubernetes": "Kubernetes", "go": "Go", "platform": "Plattform", "kubernetes API": "Kubernetes-API", "kubeconfig": "Kubeconfig",
	"launcher": "Starter", "daemon": "Dienst", "network": "Netz", "the host's own tools": "die Werkzeuge dieses Rechners",
	"programs": "Programme", "namespaces": "Namespaces", "ids": "Kennungen", "cgroups": "Cgroups", "disk": "Platte", "python": "Python",
	"onnxruntime": "ONNX Runtime", "sockets": "Sockets", "files": "Dateien", "policies": "Netzregeln", "tokens": "Token", "root": "root",

	// States.
	"Ready": "bereit", "NotReady": "nicht bereit", "error": "Fehler", "warning": "Warnung", "info": "Hinweis",
}
