package text

// Sentences of kiwerk lint.
const (
	LintShort         Key = "command.lint"
	LintLong          Key = "command.lint.long"
	FlagLintFile      Key = "flag.lint.file"
	FlagLintFix       Key = "flag.lint.fix"
	FlagLintDryRun    Key = "flag.lint.dryRun"
	FlagLintServer    Key = "flag.lint.server"
	FlagLintDisable   Key = "flag.lint.disable"
	FlagLintStrict    Key = "flag.lint.strict"
	FlagLintRules     Key = "flag.lint.rules"
	FlagKubeconfig    Key = "flag.kubeconfig"
	LintTry           Key = "lint.try"
	LintNothing       Key = "lint.nothing"
	LintSummary       Key = "lint.summary"
	LintFixable       Key = "lint.fixable"
	LintFixed         Key = "lint.fixed"
	LintNoFiles       Key = "lint.noFiles"
	LintUnreadable    Key = "lint.unreadable"
	LintUnknownRule   Key = "lint.unknownRule"
	LintNotFixed      Key = "lint.notFixed"
	LintUnknownNear   Key = "lint.unknown-field.near"
	LintFragment      Key = "lint.not-an-object.fragment"
	LintRequestOnly   Key = "lint.extended-resource.requestOnly"
	LintNotWhole      Key = "lint.extended-resource.notWhole"
	LintRemovedNoWay  Key = "lint.removed-api.gone"
	LintWorkflowNear  Key = "lint.workflow-step.near"
	LintServerUnknown Key = "lint.server-refuses.unknown"
)

// LintRule is the key of what a rule says: part is title, why or fix.
func LintRule(id, part string) Key { return Key("lint." + id + "." + part) }

// Has tells whether the catalogue knows a key.
func Has(key Key) bool {
	_, ok := catalogue()["en"][key]
	return ok
}

var lintTexts = map[Key]entry{
	LintShort:       {"Check manifests against what today's Kubernetes and this platform accept", "Manifeste daran prüfen, was heutiges Kubernetes und diese Plattform annehmen"},
	LintLong:        {"Reads manifests and says, with line and field, what Kubernetes refuses or has removed, what would never\nwork and what is dangerous, each with a reason and a remedy. Needs no cluster; --server asks one as well.\nExit codes: 0 no errors, 1 errors found, 2 wrong usage, 4 file not found.", "Liest Manifeste und nennt mit Zeile und Feld, was Kubernetes ablehnt oder entfernt hat, was nie\nfunktionieren würde und was gefährlich ist, jeweils mit Grund und Abhilfe. Braucht keinen Cluster;\n--server fragt zusätzlich einen. Exit-Codes: 0 keine Fehler, 1 Fehler gefunden, 2 falscher Aufruf, 4 Datei fehlt."},
	FlagLintFile:    {"the same as an argument: file, folder (all .yaml, .yml and .json in it) or - for standard input; repeatable", "dasselbe wie ein Argument: Datei, Ordner (alle .yaml, .yml und .json darin) oder - für die Standardeingabe; mehrfach möglich"},
	FlagLintFix:     {"write the corrected manifests; comments and order stay", "die berichtigten Manifeste schreiben; Kommentare und Reihenfolge bleiben"},
	FlagLintDryRun:  {"with --fix: print the difference instead of writing", "mit --fix: den Unterschied ausgeben, statt zu schreiben"},
	FlagLintServer:  {"also let the API server try each object without storing it", "zusätzlich den API-Server jedes Objekt prüfen lassen, ohne es zu speichern"},
	FlagLintDisable: {"rules to leave out, by id; repeatable", "Regeln, die nicht gelten sollen, nach id; mehrfach möglich"},
	FlagLintStrict:  {"warnings count as errors for the exit code", "Warnungen zählen für den Exit-Code als Fehler"},
	FlagLintRules:   {"list the rules", "die Regeln auflisten"},
	FlagKubeconfig:  {"for --server: another cluster than the one of the data directory", "für --server: ein anderer Cluster als der des Datenverzeichnisses"},
	LintTry:         {"fix", "Abhilfe"},
	LintNothing:     {"%[1]s objects in %[2]s files, nothing to say", "%[1]s Objekte in %[2]s Dateien, keine Beanstandung"},
	LintSummary:     {"%[1]s objects in %[2]s files: %[3]s errors, %[4]s warnings, %[5]s notes", "%[1]s Objekte in %[2]s Dateien: %[3]s Fehler, %[4]s Warnungen, %[5]s Hinweise"},
	LintFixable:     {"%[1]s of them can be corrected: kiwerk lint --fix %[2]s", "%[1]s davon lassen sich berichtigen: kiwerk lint --fix %[2]s"},
	LintFixed:       {"%[1]s: %[2]s findings corrected", "%[1]s: %[2]s Beanstandungen berichtigt"},
	LintNoFiles:     {"say what to read: a FILE, a FOLDER or - for standard input", "bitte sagen, was gelesen werden soll: eine DATEI, ein ORDNER oder - für die Standardeingabe"},
	LintUnreadable:  {"%s cannot be read", "%s ist nicht lesbar"},
	LintUnknownRule: {"there is no rule %q", "die Regel %q gibt es nicht"},
	LintNotFixed:    {"%s was not corrected", "%s wurde nicht berichtigt"},

	"lint.yaml-syntax.title": {"text that is no YAML", "Text, der kein YAML ist"},
	"lint.yaml-syntax.why":   {"this cannot be read: %s", "das ist nicht lesbar: %s"},
	"lint.yaml-syntax.fix":   {"correct the text at this line; indentation with blanks, never tabs", "den Text an dieser Zeile berichtigen; mit Leerzeichen einrücken, nie mit Tabulatoren"},

	"lint.indentation-lost.title": {"a manifest without indentation, as copied from a web page", "ein Manifest ohne Einrückung, wie von einer Webseite kopiert"},
	"lint.indentation-lost.why":   {"the lines of this %s have lost their indentation, so all fields stand at the top", "die Zeilen dieses %s haben ihre Einrückung verloren, alle Felder stehen auf der obersten Ebene"},
	"lint.indentation-lost.fix":   {"restore the indentation, or copy the manifest from its source file", "die Einrückung wiederherstellen oder das Manifest aus der Quelldatei kopieren"},

	"lint.duplicate-key.title": {"a key that stands twice in one mapping", "ein Schlüssel, der in einer Ebene zweimal steht"},
	"lint.duplicate-key.why":   {"key %q is given twice; only the last one would count", "der Schlüssel %q steht zweimal; nur der letzte würde gelten"},
	"lint.duplicate-key.fix":   {"keep one of them", "einen davon behalten"},

	"lint.not-an-object.title": {"a document that is no Kubernetes object", "ein Dokument, das kein Kubernetes-Objekt ist"},
	"lint.not-an-object.why":   {"the document has no %s, so it cannot be applied", "dem Dokument fehlt %s, es lässt sich nicht anwenden"},
	LintFragment:               {"this is a fragment: %s belongs into a container or pod, it cannot be applied by itself", "das ist ein Bruchstück: %s gehört in einen Container oder Pod und lässt sich allein nicht anwenden"},
	"lint.not-an-object.fix":   {"give apiVersion, kind and metadata.name, or put the fields where they belong", "apiVersion, kind und metadata.name angeben oder die Felder an ihren Platz setzen"},

	"lint.unknown-field.title": {"a field that the API does not know", "ein Feld, das die API nicht kennt"},
	"lint.unknown-field.why":   {"%q is no field of %s", "%q ist kein Feld von %s"},
	LintUnknownNear:            {"%q is no field of %s; %q is meant?", "%q ist kein Feld von %s; gemeint ist %q?"},
	"lint.unknown-field.fix":   {"correct the name or remove the field", "den Namen berichtigen oder das Feld entfernen"},

	"lint.wrong-type.title": {"a value of another type than the API wants", "ein Wert von anderer Art, als die API verlangt"},
	"lint.wrong-type.why":   {"this is %s, but %s is wanted", "hier steht %s, verlangt ist %s"},
	"lint.wrong-type.fix":   {"write a value of that type; numbers and booleans in text fields need quotes", "einen Wert dieser Art schreiben; Zahlen und Wahrheitswerte in Textfeldern brauchen Anführungszeichen"},

	"lint.missing-field.title": {"a required field that is absent", "ein Pflichtfeld, das fehlt"},
	"lint.missing-field.why":   {"%s is required", "%s ist Pflicht"},
	"lint.missing-field.fix":   {"add the field", "das Feld ergänzen"},

	"lint.invalid-value.title": {"a value that the API refuses", "ein Wert, den die API ablehnt"},
	"lint.invalid-value.why":   {"%q is refused: %s", "%q wird abgelehnt: %s"},
	"lint.invalid-value.fix":   {"choose a value that is allowed here", "einen hier erlaubten Wert wählen"},

	"lint.removed-api.title": {"an API version that Kubernetes has removed", "eine API-Version, die Kubernetes entfernt hat"},
	"lint.removed-api.why":   {"%s was removed in Kubernetes %s; it is %s now", "%s wurde in Kubernetes %s entfernt; heute heißt es %s"},
	LintRemovedNoWay:         {"%s was removed in Kubernetes %s; instead: %s", "%s wurde in Kubernetes %s entfernt; stattdessen: %s"},
	"lint.removed-api.fix":   {"use the current API", "die heutige API verwenden"},

	"lint.deprecated-api.title": {"an API version that will be removed", "eine API-Version, die entfernt werden wird"},
	"lint.deprecated-api.why":   {"%s is deprecated since Kubernetes %s; it is %s now", "%s ist seit Kubernetes %s überholt; heute heißt es %s"},
	"lint.deprecated-api.fix":   {"use the current API", "die heutige API verwenden"},

	"lint.unknown-kind.title": {"a kind that neither Kubernetes nor Kiwerk serves", "eine Art, die weder Kubernetes noch Kiwerk kennt"},
	"lint.unknown-kind.why":   {"%s is no kind of Kubernetes %s or of Kiwerk; only a cluster with its CustomResourceDefinition takes it", "%s ist keine Art von Kubernetes %s oder Kiwerk; nur ein Cluster mit ihrer CustomResourceDefinition nimmt sie an"},
	"lint.unknown-kind.fix":   {"correct apiVersion and kind, or give the CustomResourceDefinition in the same input", "apiVersion und kind berichtigen oder die CustomResourceDefinition in derselben Eingabe angeben"},

	"lint.kind-to-come.title": {"a kind of a capability that Kiwerk does not have yet", "eine Art, deren Fähigkeit Kiwerk noch nicht hat"},
	"lint.kind-to-come.why":   {"%s belongs to %s, which this version of Kiwerk does not have yet; the API server refuses it", "%s gehört zu %s, das diese Version von Kiwerk noch nicht hat; der API-Server lehnt es ab"},
	"lint.kind-to-come.fix":   {"keep the manifest for a cluster with the upstream operator, or use a Job or Workflow until then", "das Manifest für einen Cluster mit dem ursprünglichen Operator aufheben oder bis dahin einen Job oder Workflow verwenden"},

	"lint.duplicate-object.title": {"two objects with the same kind and name", "zwei Objekte mit gleicher Art und gleichem Namen"},
	"lint.duplicate-object.why":   {"%s stands in the input twice, first in %s; the later one would overwrite it", "%s steht zweimal in der Eingabe, zuerst in %s; das spätere würde es überschreiben"},
	"lint.duplicate-object.fix":   {"give one of them another name or namespace", "einem davon einen anderen Namen oder Namespace geben"},

	"lint.duplicate-name.title": {"two containers, volumes, ports or variables with one name", "zwei Container, Volumes, Ports oder Variablen mit einem Namen"},
	"lint.duplicate-name.why":   {"the name %q is used twice in this list", "der Name %q kommt in dieser Liste zweimal vor"},
	"lint.duplicate-name.fix":   {"rename or remove one of them", "eines davon umbenennen oder entfernen"},

	"lint.extended-resource.title": {"requests and limits of GPUs (extended resources) that differ", "Anforderung und Grenze von GPUs (erweiterten Ressourcen), die sich unterscheiden"},
	"lint.extended-resource.why":   {"%s asks for %s and is limited to %s; GPUs cannot be overcommitted, so the API server refuses any difference", "%s fordert %s an und ist auf %s begrenzt; GPUs lassen sich nicht überbuchen, deshalb lehnt der API-Server jeden Unterschied ab"},
	LintRequestOnly:                {"%s is requested without a limit; extended resources need one", "%s wird ohne Grenze angefordert; erweiterte Ressourcen brauchen eine"},
	LintNotWhole:                   {"%s is %s, but devices come as whole numbers", "%s ist %s, Geräte gibt es aber nur als ganze Zahlen"},
	"lint.extended-resource.fix":   {"give requests and limits the same whole number, or the limit alone", "Anforderung und Grenze die gleiche ganze Zahl geben, oder nur die Grenze nennen"},

	"lint.gpu-toleration.title": {"a GPU pod that does not tolerate the taint of the GPU nodes", "ein GPU-Pod, der den Taint der GPU-Knoten nicht toleriert"},
	"lint.gpu-toleration.why":   {"the pod asks for %s, but the GPU nodes of this input are tainted with %s and it tolerates nothing like that: it would stay Pending for ever", "der Pod fordert %s an, aber die GPU-Knoten dieser Eingabe tragen den Taint %s, den er nicht toleriert: er bliebe für immer Pending"},
	"lint.gpu-toleration.fix":   {"add a toleration for the taint", "eine Toleration für den Taint ergänzen"},

	"lint.world-size.title": {"WORLD_SIZE larger than the processes that the Job starts", "WORLD_SIZE größer als die Zahl der Prozesse, die der Job startet"},
	"lint.world-size.why":   {"WORLD_SIZE is %s, but the Job starts only %s process(es): they would wait at their rendezvous for ever", "WORLD_SIZE ist %s, der Job startet aber nur %s Prozess(e): sie warteten für immer auf die übrigen"},
	"lint.world-size.fix":   {"start one process per GPU with torchrun, which sets WORLD_SIZE and RANK itself, or start as many pods", "mit torchrun einen Prozess je GPU starten (es setzt WORLD_SIZE und RANK selbst) oder ebenso viele Pods starten"},

	"lint.selector-mismatch.title": {"a selector that does not select the object's own pods", "ein Selektor, der die eigenen Pods nicht auswählt"},
	"lint.selector-mismatch.why":   {"the selector wants %s, which the labels of the pod template lack; the API server refuses this", "der Selektor verlangt %s, die Labels der Pod-Vorlage haben das nicht; der API-Server lehnt das ab"},
	"lint.selector-mismatch.fix":   {"give template.metadata.labels every label of the selector", "template.metadata.labels alle Labels des Selektors geben"},

	"lint.service-selects-nothing.title": {"a Service that selects none of the pods of the input", "ein Service, der keinen Pod der Eingabe auswählt"},
	"lint.service-selects-nothing.why":   {"no pod of this input has the labels %s, so the Service would have no endpoints", "kein Pod dieser Eingabe hat die Labels %s, der Service hätte also keine Endpunkte"},
	"lint.service-selects-nothing.fix":   {"use the labels of the pod template as selector", "die Labels der Pod-Vorlage als Selektor verwenden"},

	"lint.service-port.title": {"a Service port that none of its pods declares", "ein Service-Port, den keiner seiner Pods nennt"},
	"lint.service-port.why":   {"targetPort %s is no port of the selected pods (they declare %s)", "targetPort %s ist kein Port der ausgewählten Pods (sie nennen %s)"},
	"lint.service-port.fix":   {"use a declared containerPort or its name", "einen angegebenen containerPort oder dessen Namen verwenden"},

	"lint.claim-missing.title": {"a volume whose PersistentVolumeClaim is not in the input", "ein Volume, dessen PersistentVolumeClaim nicht in der Eingabe steht"},
	"lint.claim-missing.why":   {"nothing in this input makes the claim %q; without it the pod stays Pending", "nichts in dieser Eingabe legt den Claim %q an; ohne ihn bleibt der Pod Pending"},
	"lint.claim-missing.fix":   {"add the PersistentVolumeClaim to the manifest, or disable this rule if it exists already", "den PersistentVolumeClaim ins Manifest aufnehmen, oder diese Regel abschalten, wenn es ihn schon gibt"},

	"lint.reference-missing.title": {"a Secret, ConfigMap or ServiceAccount that is not in the input", "ein Secret, eine ConfigMap oder ein ServiceAccount, die nicht in der Eingabe stehen"},
	"lint.reference-missing.why":   {"%s is needed and is not in this input; without it the container does not start", "%s wird gebraucht und steht nicht in dieser Eingabe; ohne es startet der Container nicht"},
	"lint.reference-missing.fix":   {"make it before, or mark the reference optional", "es vorher anlegen oder den Verweis als optional kennzeichnen"},

	"lint.volume-missing.title": {"a mount of a volume that the pod does not have", "ein Mount eines Volumes, das der Pod nicht hat"},
	"lint.volume-missing.why":   {"the pod has no volume %q; the API server refuses the mount", "der Pod hat kein Volume %q; der API-Server lehnt den Mount ab"},
	"lint.volume-missing.fix":   {"add the volume or correct the name", "das Volume ergänzen oder den Namen berichtigen"},

	"lint.restart-policy.title": {"a restart policy that this kind does not allow", "ein Neustartverhalten, das diese Art nicht erlaubt"},
	"lint.restart-policy.why":   {"%s allows restartPolicy %s; here it is %s", "%s erlaubt restartPolicy %s; hier ist es %s"},
	"lint.restart-policy.fix":   {"set an allowed restartPolicy", "eine erlaubte restartPolicy setzen"},

	"lint.shared-claim.title": {"several replicas that share a claim for one node", "mehrere Replikate, die einen Claim für einen einzigen Knoten teilen"},
	"lint.shared-claim.why":   {"%s replicas mount claim %q, whose access mode is %s: on several nodes all but the first would not start", "%s Replikate binden den Claim %q mit Zugriffsart %s ein: auf mehreren Knoten starteten alle bis auf das erste nicht"},
	"lint.shared-claim.fix":   {"use ReadWriteMany or ReadOnlyMany, or a StatefulSet with volumeClaimTemplates", "ReadWriteMany oder ReadOnlyMany verwenden, oder ein StatefulSet mit volumeClaimTemplates"},

	"lint.state-in-container.title": {"a database file inside the container", "eine Datenbankdatei im Container"},
	"lint.state-in-container.why":   {"%s lies on no volume: everything in it is lost when the container restarts", "%s liegt auf keinem Volume: alles darin geht verloren, wenn der Container neu startet"},
	"lint.state-in-container.fix":   {"put the file on a PersistentVolumeClaim or use a database server", "die Datei auf einen PersistentVolumeClaim legen oder einen Datenbankserver verwenden"},

	"lint.hand-made-node.title": {"a Node object written by hand", "ein von Hand geschriebenes Node-Objekt"},
	"lint.hand-made-node.why":   {"nodes register themselves; this object makes no machine and stays without heartbeat", "Knoten melden sich selbst an; dieses Objekt macht keine Maschine und bleibt ohne Lebenszeichen"},
	"lint.hand-made-node.fix":   {"label and taint the registered node (kubectl label, kubectl taint), or simulate one", "den angemeldeten Knoten kennzeichnen (kubectl label, kubectl taint) oder einen simulieren"},

	"lint.workflow-step.title": {"a workflow that refers to a step which does not exist there", "ein Workflow, der sich auf einen Schritt bezieht, den es dort nicht gibt"},
	"lint.workflow-step.why":   {"%s; no earlier step of this name has such an output", "%s; kein früherer Schritt dieses Namens hat so ein Ergebnis"},
	LintWorkflowNear:           {"%s; %s is the name of a template, the step is called %s", "%s; %s ist der Name einer Vorlage, der Schritt heißt %s"},
	"lint.workflow-step.fix":   {"use the name of the step, and refer only to steps that have run before", "den Namen des Schritts verwenden und nur auf Schritte verweisen, die vorher gelaufen sind"},

	"lint.workflow-error.title": {"a workflow that would be refused or do something else", "ein Workflow, der abgelehnt würde oder etwas anderes täte"},
	"lint.workflow-error.why":   {"%s", "%s"},
	"lint.workflow-error.fix":   {"see docs/spec/workflow.md for what is executed", "siehe docs/spec/workflow.md: was ausgeführt wird"},

	"lint.workflow-warning.title": {"a part of a workflow without effect here", "ein Teil eines Workflows, der hier nichts bewirkt"},
	"lint.workflow-warning.why":   {"%s", "%s"},
	"lint.workflow-warning.fix":   {"remove the field, or keep it for Argo", "das Feld entfernen oder für Argo behalten"},

	"lint.latest-tag.title": {"an image without a fixed version", "ein Image ohne feste Version"},
	"lint.latest-tag.why":   {"image %q may be another one tomorrow: what was tested is not what runs", "das Image %q kann morgen ein anderes sein: was getestet wurde, ist nicht, was läuft"},
	"lint.latest-tag.fix":   {"name a version or a digest", "eine Version oder einen Digest nennen"},

	"lint.no-security-context.title": {"a container that could gain rights", "ein Container, der Rechte dazugewinnen könnte"},
	"lint.no-security-context.why":   {"container %q lacks %s: the Pod Security level restricted refuses it", "dem Container %q fehlt %s: die Stufe restricted von Pod Security lehnt ihn ab"},
	"lint.no-security-context.fix":   {"set runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities.drop: [ALL] and seccompProfile RuntimeDefault", "runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities.drop: [ALL] und seccompProfile RuntimeDefault setzen"},

	"lint.privileged.title": {"a container with rights over the node", "ein Container mit Rechten über den Knoten"},
	"lint.privileged.why":   {"%s gives container %q rights over the whole node", "%s gibt dem Container %q Rechte über den ganzen Knoten"},
	"lint.privileged.fix":   {"remove it; ask for the one capability or device that is needed", "entfernen; nur die eine nötige Capability oder das eine Gerät anfordern"},

	"lint.runs-as-root.title": {"a container that runs as root on purpose", "ein Container, der absichtlich als root läuft"},
	"lint.runs-as-root.why":   {"%s lets container %q run as root", "%s lässt den Container %q als root laufen"},
	"lint.runs-as-root.fix":   {"use another user, runAsNonRoot: true", "einen anderen Benutzer verwenden, runAsNonRoot: true"},

	"lint.host-path.title": {"a volume of the node's own files", "ein Volume aus Dateien des Knotens"},
	"lint.host-path.why":   {"hostPath %q shows the pod the node's files and binds it to one node", "hostPath %q zeigt dem Pod Dateien des Knotens und bindet ihn an einen Knoten"},
	"lint.host-path.fix":   {"use a PersistentVolumeClaim, a ConfigMap or emptyDir", "einen PersistentVolumeClaim, eine ConfigMap oder emptyDir verwenden"},

	"lint.host-namespace.title": {"a pod in the namespaces of the node", "ein Pod in den Namespaces des Knotens"},
	"lint.host-namespace.why":   {"%s lets the pod see what belongs to the node and to other pods", "%s lässt den Pod sehen, was dem Knoten und anderen Pods gehört"},
	"lint.host-namespace.fix":   {"remove it", "entfernen"},

	"lint.secret-in-env.title": {"a secret as plain text", "ein Geheimnis als Klartext"},
	"lint.secret-in-env.why":   {"%s looks like a secret and stands here as plain text, readable for everyone who may read the manifest", "%s sieht nach einem Geheimnis aus und steht hier im Klartext, lesbar für alle, die das Manifest lesen dürfen"},
	"lint.secret-in-env.fix":   {"store it in a Secret and refer to it with valueFrom.secretKeyRef", "in einem Secret ablegen und mit valueFrom.secretKeyRef darauf verweisen"},

	"lint.no-limits.title": {"a container without resource requests or memory limit", "ein Container ohne Ressourcenanforderung oder Speichergrenze"},
	"lint.no-limits.why":   {"container %q does not say %s: the scheduler guesses, and one leak takes the node's memory", "der Container %q nennt %s nicht: der Scheduler rät, und ein Leck nimmt dem Knoten den Speicher"},
	"lint.no-limits.fix":   {"measure once and set requests for cpu and memory and a limit for memory", "einmal messen und Anforderungen für cpu und memory sowie eine Grenze für memory setzen"},

	"lint.no-probes.title": {"a server without readiness probe", "ein Server ohne Bereitschaftsprüfung"},
	"lint.no-probes.why":   {"container %q serves a port without readinessProbe: it gets requests before it can answer", "der Container %q bedient einen Port ohne readinessProbe: er bekommt Anfragen, bevor er antworten kann"},
	"lint.no-probes.fix":   {"add a readinessProbe (httpGet, grpc, tcpSocket or exec)", "eine readinessProbe ergänzen (httpGet, grpc, tcpSocket oder exec)"},

	"lint.server-refuses.title": {"an object that the API server refuses (--server)", "ein Objekt, das der API-Server ablehnt (--server)"},
	"lint.server-refuses.why":   {"the API server refuses it: %s", "der API-Server lehnt es ab: %s"},
	LintServerUnknown:           {"the API server does not serve %s", "der API-Server kennt %s nicht"},
	"lint.server-refuses.fix":   {"correct what the server names", "berichtigen, was der Server nennt"},
}
