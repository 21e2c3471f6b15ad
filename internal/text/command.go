package text

// Sentences of the other commands.
const (
	// Verbatim prints its argument: a command, a path, what another program said.
	Verbatim Key = "verbatim"

	CommandError   Key = "command.error"
	CommandTry     Key = "command.try"
	CommandUsage   Key = "command.usage"
	UnknownCommand Key = "command.unknown"
	NoHome         Key = "command.noHome"
	NotOffered     Key = "command.notOffered"
	UseLinux       Key = "command.useLinux"

	RootShort           Key = "command.root"
	UpShort             Key = "command.up"
	UpLong              Key = "command.up.long"
	DownShort           Key = "command.down"
	StatusShort         Key = "command.status"
	DoctorShort         Key = "command.doctor"
	KubectlShort        Key = "command.kubectl"
	VersionShort        Key = "command.version"
	DemoShort           Key = "command.demo"
	DemoQualityShort    Key = "command.demo.quality"
	RetrainShort        Key = "command.retrain"
	RetrainListShort    Key = "command.retrain.list"
	RetrainApproveShort Key = "command.retrain.approve"
	RetrainApproved     Key = "command.retrain.approved"
	RetrainRejected     Key = "command.retrain.rejected"
	RetrainScores       Key = "command.retrain.scores"
	RetrainNoPolicy     Key = "command.retrain.noPolicy"
	RetrainNoneWaits    Key = "command.retrain.noneWaits"
	InternalShort       Key = "command.internal"
	ControlPlaneShort   Key = "command.internal.controlPlane"
	DaemonShort         Key = "command.internal.daemon"

	FlagDataDir       Key = "flag.dataDir"
	FlagLang          Key = "flag.lang"
	FlagNoColor       Key = "flag.noColor"
	FlagQuiet         Key = "flag.quiet"
	FlagOutput        Key = "flag.output"
	FlagListen        Key = "flag.listen"
	FlagNetwork       Key = "flag.network"
	FlagConfig        Key = "flag.config"
	FlagDetach        Key = "flag.detach"
	FlagTimeout       Key = "flag.timeout"
	FlagClean         Key = "flag.clean"
	FlagProject       Key = "flag.project"
	FlagReport        Key = "flag.report"
	FlagBadChallenger Key = "flag.badChallenger"
	FlagReject        Key = "flag.reject"
	FlagReason        Key = "flag.reason"

	StatusState     Key = "status.state"
	StatusDataDir   Key = "status.dataDir"
	StatusStarted   Key = "status.started"
	StatusNetwork   Key = "status.network"
	StatusListeners Key = "status.listeners"
	StateReady      Key = "status.ready"
	StateStarting   Key = "status.starting"
	StateStopped    Key = "status.stopped"
	StateLost       Key = "status.lost"

	DoctorRootNS        Key = "doctor.rootNS"
	DoctorUserNS        Key = "doctor.userNS"
	DoctorCgroups       Key = "doctor.cgroups"
	DoctorNoCgroups     Key = "doctor.noCgroups"
	DoctorIDs           Key = "doctor.ids"
	DoctorNoIDs         Key = "doctor.noIDs"
	DoctorIDsTry        Key = "doctor.idsTry"
	DoctorCgroupsRoot   Key = "doctor.cgroupsRoot"
	DoctorCgroupsUser   Key = "doctor.cgroupsUser"
	DoctorCgroupsMount  Key = "doctor.cgroupsMount"
	DoctorDisk          Key = "doctor.disk"
	DoctorNoPython      Key = "doctor.noPython"
	DoctorPythonBroken  Key = "doctor.pythonBroken"
	DoctorNoModelServer Key = "doctor.noModelServer"
	DoctorNoONNX        Key = "doctor.noONNX"
	DoctorNoData        Key = "doctor.noData"
	DoctorFiles         Key = "doctor.files"
	DoctorSecrets       Key = "doctor.secrets"
	DoctorUserFiles     Key = "doctor.userFiles"

	NoteNetworkPolicy    Key = "note.networkPolicy"
	NoteHostNetwork      Key = "note.hostNetwork"
	PodNetworkFailed     Key = "network.failed"
	NetworkChanged       Key = "network.changed"
	DoctorPodNetwork     Key = "doctor.podNetwork"
	DoctorForwardRefused Key = "doctor.forwardRefused"
	NoteSharedKernel     Key = "note.sharedKernel"
	NoteNoLimits         Key = "note.noLimits"
	NoteRoot             Key = "note.root"
	NoteLoopbackPods     Key = "note.loopbackPods"
	NoteOpenPort         Key = "note.openPort"
)

var commandTexts = map[Key]entry{
	Verbatim: {"%s", "%s"},

	CommandError:   {"Error", "Fehler"},
	CommandTry:     {"try", "Versuchen Sie"},
	CommandUsage:   {"wrong usage: %s", "falscher Aufruf: %s"},
	UnknownCommand: {"there is no command %q", "den Befehl %q gibt es nicht"},
	NoHome:         {"the home directory of this user is unknown, so there is no default data directory", "das Heimatverzeichnis dieses Benutzers ist unbekannt, daher gibt es kein voreingestelltes Datenverzeichnis"},
	NotOffered:     {"this command needs Linux; %s runs only the commands that talk to a running platform", "dieser Befehl braucht Linux; unter %s laufen nur die Befehle, die mit einer laufenden Plattform sprechen"},

	UseLinux: {"run it in WSL 2, in a Linux virtual machine or in the container image", "in WSL 2, einer virtuellen Linux-Maschine oder im Container-Image ausführen"},

	RootShort:           {"The machine-learning platform for Kubernetes in one program", "Die Machine-Learning-Plattform für Kubernetes in einem Programm"},
	UpShort:             {"Start Kubernetes and the platform on this machine", "Kubernetes und die Plattform auf diesem Rechner starten"},
	UpLong:              {"Starts a real Kubernetes and the whole platform, without Docker, root or internet,\nand runs until Ctrl-C or kiwerk down. What is stored stays in the data directory.", "Startet ein echtes Kubernetes und die ganze Plattform, ohne Docker, root oder Internet,\nund läuft bis Strg-C oder kiwerk down. Was gespeichert ist, bleibt im Datenverzeichnis."},
	DownShort:           {"Stop the platform and all its pods; stored data stays", "Die Plattform und alle ihre Pods anhalten; gespeicherte Daten bleiben"},
	StatusShort:         {"Show addresses, versions, pods and what this machine cannot enforce", "Adressen, Versionen und Pods zeigen, und was dieser Rechner nicht durchsetzen kann"},
	DoctorShort:         {"Check whether this machine can run the platform, and what it exposes", "Prüfen, ob die Plattform auf diesem Rechner laufen kann und was sie preisgibt"},
	KubectlShort:        {"The real kubectl, connected to this platform", "Das echte kubectl, verbunden mit dieser Plattform"},
	VersionShort:        {"Print the versions of the program and its parts", "Die Versionen des Programms und seiner Teile ausgeben"},
	DemoShort:           {"Play a complete example on a platform of its own", "Ein vollständiges Beispiel auf einer eigenen Plattform durchspielen"},
	DemoQualityShort:    {"A working day of a quality inspection: train, deploy, drift, retrain, promote", "Ein Arbeitstag einer Qualitätsprüfung: trainieren, ausrollen, Drift, neu trainieren, übernehmen"},
	RetrainShort:        {"See and decide about retrained models", "Neu trainierte Modelle ansehen und über sie entscheiden"},
	RetrainListShort:    {"List retrainings with their reasons and results", "Neu-Trainings mit Gründen und Ergebnissen auflisten"},
	RetrainApproveShort: {"Approve the challenger that waits (or reject it)", "Den wartenden Herausforderer freigeben (oder ablehnen)"},
	RetrainApproved:     {"The challenger of %s is approved; the roll-out begins.\nNext: kiwerk retrain list", "Der Herausforderer von %s ist freigegeben; er wird jetzt ausgerollt.\nWeiter: kiwerk retrain list"},
	RetrainRejected:     {"The challenger of %s is rejected; the champion stays.\nNext: kiwerk retrain list", "Der Herausforderer von %s ist abgelehnt; das bisherige Modell bleibt.\nWeiter: kiwerk retrain list"},
	RetrainScores:       {"champion %.3f, challenger %.3f on %d rows", "bisheriges Modell %.3f, neues %.3f auf %d Zeilen"},
	RetrainNoPolicy:     {"there is no RetrainPolicy %s in project %s", "es gibt keine RetrainPolicy %s im Projekt %s"},
	RetrainNoneWaits:    {"no challenger of %s waits for approval (it is in phase %s)", "kein Herausforderer von %s wartet auf Freigabe (Phase %s)"},
	InternalShort:       {"What the program calls by itself", "Was das Programm selbst aufruft"},
	ControlPlaneShort:   {"A control plane without node, for tests; ends when standard input does", "Eine Steuerungsebene ohne Knoten, für Tests; endet mit der Standardeingabe"},
	DaemonShort:         {"The daemon behind kiwerk up", "Der Dienst hinter kiwerk up"},

	FlagDataDir:       {"where everything is stored (KIWERK_DATA_DIR)", "wo alles gespeichert wird (KIWERK_DATA_DIR)"},
	FlagLang:          {"language: de or en (KIWERK_LANG)", "Sprache: de oder en (KIWERK_LANG)"},
	FlagNoColor:       {"no colours (NO_COLOR)", "keine Farben (NO_COLOR)"},
	FlagQuiet:         {"print only errors and results", "nur Fehler und Ergebnisse ausgeben"},
	FlagOutput:        {"table, json or yaml", "table, json oder yaml"},
	FlagNetwork:       {"network of pods: auto, pod (each has an address of its own) or host (they share this machine's)", "Netz der Pods: auto, pod (jeder hat eine eigene Adresse) oder host (sie teilen das dieses Rechners)"},
	FlagListen:        {"address of the platform, HOST:PORT; port 0 takes a free one", "Adresse der Plattform, HOST:PORT; Port 0 nimmt einen freien"},
	FlagConfig:        {"configuration file (KIWERK_CONFIG; default config.yaml in the data directory)", "Konfigurationsdatei (KIWERK_CONFIG; sonst config.yaml im Datenverzeichnis)"},
	FlagDetach:        {"return when ready and keep running in the background", "zurückkehren, sobald alles bereit ist, und im Hintergrund weiterlaufen"},
	FlagClean:         {"also end what hangs and remove what a crash has left: processes, mounts, network devices", "auch beenden, was hängt, und entfernen, was ein Absturz hinterlassen hat: Prozesse, Einhängungen, Netzgeräte"},
	FlagTimeout:       {"how long to wait", "wie lange gewartet wird"},
	FlagProject:       {"project, which is a namespace", "Projekt, das ist ein Namespace"},
	FlagReport:        {"write the report as JSON to this file", "den Bericht als JSON in diese Datei schreiben"},
	FlagBadChallenger: {"spoil the retrained model, to see that it is refused", "das neu trainierte Modell verderben, um zu sehen, dass es abgelehnt wird"},
	FlagReject:        {"reject instead of approving", "ablehnen statt freigeben"},
	FlagReason:        {"why; stored with the decision", "Grund; wird mit der Entscheidung gespeichert"},

	StatusState:     {"state", "Zustand"},
	StatusDataDir:   {"data", "Daten"},
	StatusStarted:   {"started", "gestartet"},
	StatusNetwork:   {"%s %s, egress %s", "%s %s, nach außen: %s"},
	StatusListeners: {"Ports that pods have opened on this machine:", "Ports, die Pods auf diesem Rechner geöffnet haben:"},
	StateReady:      {"ready", "bereit"},
	StateStarting:   {"starting (%s)", "startet (%s)"},
	StateStopped:    {"stopped", "angehalten"},
	StateLost:       {"the platform ended unexpectedly; %d containers still run (kiwerk up adopts them, kiwerk down stops them)", "die Plattform ist unerwartet beendet; %d Container laufen noch (kiwerk up übernimmt sie, kiwerk down hält sie an)"},

	DoctorRootNS:        {"started as root; no user namespace is needed", "als root gestartet; kein User-Namespace nötig"},
	DoctorUserNS:        {"user namespaces are allowed", "User-Namespaces sind erlaubt"},
	DoctorCgroups:       {"limits of pods are enforced by cgroups: %s", "Grenzen von Pods werden durch Cgroups durchgesetzt: %s"},
	DoctorNoCgroups:     {"limits of CPU and memory in pods are not enforced; the processes of all pods together are bounded", "Grenzen für CPU und Speicher in Pods werden nicht durchgesetzt; die Zahl der Prozesse aller Pods zusammen ist begrenzt"},
	DoctorIDs:           {"pods can run as other users (runAsUser, fsGroup)", "Pods können als andere Benutzer laufen (runAsUser, fsGroup)"},
	DoctorNoIDs:         {"pods can run as root only, who is you: no subordinate ids: %s", "Pods können nur als root laufen, der Sie selbst sind: keine untergeordneten Kennungen: %s"},
	DoctorIDsTry:        {"sudo apt install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER", "sudo apt install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"},
	DoctorCgroupsRoot:   {"this host has version 1 of cgroups, which serves only root: run kiwerk up as root, or start the host with version 2 (kernel argument systemd.unified_cgroup_hierarchy=1)", "dieser Rechner hat Version 1 der Cgroups, die nur root dient: kiwerk up als root ausführen oder den Rechner mit Version 2 starten (Kernel-Argument systemd.unified_cgroup_hierarchy=1)"},
	DoctorCgroupsUser:   {"no cgroup is delegated to this user here: systemd-run --user --scope -p Delegate=yes kiwerk up", "diesem Benutzer ist hier keine Cgroup übertragen: systemd-run --user --scope -p Delegate=yes kiwerk up"},
	DoctorCgroupsMount:  {"no cgroup may be made here; start the container with --cgroupns=host and /sys/fs/cgroup writable", "hier darf keine Cgroup angelegt werden; den Container mit --cgroupns=host und beschreibbarem /sys/fs/cgroup starten"},
	DoctorDisk:          {"%.1f GiB free for %s", "%.1f GiB frei für %s"},
	DoctorNoPython:      {"no Python found; pods that call python will fail", "kein Python gefunden; Pods, die python aufrufen, scheitern"},
	DoctorPythonBroken:  {"%s does not start: %s", "%s startet nicht: %s"},
	DoctorNoModelServer: {"the model server %s is missing; endpoints will not start", "der Modellserver %s fehlt; Endpunkte starten nicht"},
	DoctorNoONNX:        {"no ONNX Runtime library in %s; endpoints will not start", "keine Bibliothek ONNX Runtime in %s; Endpunkte starten nicht"},
	DoctorNoData:        {"no data in %s yet", "noch keine Daten in %s"},
	DoctorFiles:         {"%d open files per process", "%d offene Dateien je Prozess"},
	DoctorSecrets:       {"containers can read %s", "Container können %s lesen"},
	DoctorUserFiles:     {"containers read what user %s may read; the data directory is masked", "Container lesen, was Benutzer %s lesen darf; das Datenverzeichnis ist verdeckt"},

	NoteNetworkPolicy:    {"NetworkPolicy objects are stored but not enforced", "NetworkPolicy-Objekte werden gespeichert, aber nicht durchgesetzt"},
	NoteNoLimits:         {"limits of CPU and memory in pods are not enforced, see kiwerk doctor", "Grenzen für CPU und Speicher in Pods werden nicht durchgesetzt, siehe kiwerk doctor"},
	PodNetworkFailed:     {"pods cannot have a network of their own on this machine", "Pods können auf diesem Rechner kein eigenes Netz haben"},
	NetworkChanged:       {"pods of the last run still use another kind of network than %q", "Pods des letzten Laufs benutzen noch eine andere Art von Netz als %q"},
	NoteHostNetwork:      {"pods share this machine's network, each with a port of its own (%s)", "Pods teilen das Netz dieses Rechners, jeder mit einem eigenen Port (%s)"},
	DoctorForwardRefused: {"pods get a network of their own, %s; a firewall of this machine drops forwarded packets, so Kiwerk carries their connections to the outside itself", "Pods bekommen ein eigenes Netz, %s; eine Firewall dieses Rechners verwirft weitergeleitete Pakete, daher trägt Kiwerk ihre Verbindungen nach draußen selbst"},
	DoctorPodNetwork:     {"pods get addresses of their own in %s", "Pods bekommen eigene Adressen in %s"},
	NoteSharedKernel:     {"containers are processes in their own namespaces; they share this machine's kernel and its files for reading", "Container sind Prozesse in eigenen Namespaces; sie teilen den Kernel dieses Rechners und lesen dessen Dateien"},
	NoteRoot:             {"started as root: containers read every file of this machine that is not masked; run as an ordinary user to bound them", "als root gestartet: Container lesen jede nicht verdeckte Datei dieses Rechners; als gewöhnlicher Benutzer starten, um das zu begrenzen"},
	NoteLoopbackPods:     {"a pod that calls the platform without a token counts as the user who started it", "ein Pod, der die Plattform ohne Token aufruft, gilt als der Benutzer, der sie gestartet hat"},
	NoteOpenPort:         {"pod %s listens on %s, which other machines may reach", "Pod %s lauscht auf %s; andere Rechner können das erreichen"},
}
