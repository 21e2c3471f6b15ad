package text

// Sentences of kiwerk up.
const (
	UpPhaseData        Key = "up.phase.data"
	UpPhaseKubernetes  Key = "up.phase.kubernetes"
	UpPhaseControllers Key = "up.phase.controllers"
	UpPhaseNode        Key = "up.phase.node"
	UpPhaseAdopted     Key = "up.phase.adopted"
	UpDetailData       Key = "up.detail.data"
	UpDetailDiscarded  Key = "up.detail.discarded"
	UpDetailBackup     Key = "up.detail.backup"
	UpDetailKubernetes Key = "up.detail.kubernetes"
	Seconds            Key = "seconds"
	UpReady            Key = "up.ready"
	UpStartPage        Key = "up.startPage"
	UpTracking         Key = "up.tracking"
	UpKubectl          Key = "up.kubectl"
	UpNext             Key = "up.next"
	UpNextDemo         Key = "up.next.demo"
	UpNextDoctor       Key = "up.next.doctor"
	UpNextDown         Key = "up.next.down"
	UpNextStatus       Key = "up.next.status"
	UpStopping         Key = "up.stopping"
	UpStopAgain        Key = "up.stopAgain"
	UpStopped          Key = "up.stopped"
	UpStoppedDiscarded Key = "up.stopped.discarded"

	DemoDirNotEmpty Key = "demo.dirNotEmpty"

	DownNothing Key = "down.nothing"
	DownLost    Key = "down.lost"

	CleanNotStopped Key = "clean.notStopped"
	CleanEnded      Key = "clean.ended"
	CleanRemoved    Key = "clean.removed"
	CleanDone       Key = "clean.done"
	NoteLeftOver    Key = "note.leftOver"
	NoteHolderLost  Key = "note.holderLost"
	NoteListen      Key = "note.listen"
	NoteOldAddress  Key = "note.oldAddress"

	DataDirUnusable    Key = "datadir.unusable"
	DataDirForeign     Key = "datadir.foreign"
	DataDirOtherUser   Key = "datadir.otherUser"
	DataDirNetwork     Key = "datadir.network"
	DataDirReadOnly    Key = "datadir.readOnly"
	DataDirNewer       Key = "datadir.newer"
	DataDirUnknown     Key = "datadir.unknown"
	DiskFull           Key = "datadir.full"
	AlreadyRuns        Key = "datadir.alreadyRuns"
	DaemonStillEnds    Key = "datadir.daemonEnds"
	VersionsUnreadable Key = "datadir.versions"
	VersionsTry        Key = "datadir.versionsTry"
	RestoreBackup      Key = "datadir.restore"
	BackupFailed       Key = "datadir.backupFailed"

	RuntimeDirUnusable Key = "rundir.unusable"
	RuntimeDirForeign  Key = "rundir.foreign"

	PortTaken   Key = "port.taken"
	PortTakenBy Key = "port.takenBy"
	PortRefused Key = "port.refused"
	PortTry     Key = "port.try"

	AgentMissing    Key = "programs.agent"
	PythonMissing   Key = "programs.python"
	PythonTry       Key = "programs.pythonTry"
	ConfigInvalid   Key = "config.invalid"
	StartFailed     Key = "start.failed"
	StartTimeout    Key = "start.timeout"
	DaemonLost      Key = "daemon.lost"
	HolderLost      Key = "holder.lost"
	UpDetailAdopted Key = "up.detail.adopted"
	UpDetailLost    Key = "up.detail.lost"
	NotRunning      Key = "notRunning"
	HolderFailed    Key = "holder.failed"
	UserNSForbidden Key = "holder.userns"
	UserNSTry       Key = "holder.usernsTry"
	SeeLog          Key = "seeLog"
)

var upTexts = map[Key]entry{
	UpPhaseData:        {"data", "Daten"},
	UpPhaseKubernetes:  {"Kubernetes", "Kubernetes"},
	UpPhaseControllers: {"controllers", "Controller"},
	UpPhaseNode:        {"node", "Knoten"},
	UpPhaseAdopted:     {"pods", "Pods"},
	UpDetailData:       {"%s (SQLite, kept after stop)", "%s (SQLite, bleibt nach dem Anhalten)"},
	UpDetailDiscarded:  {"%s (SQLite, removed at the end; --data-dir keeps it)", "%s (SQLite, wird am Ende entfernt; mit --data-dir bleibt es)"},
	UpDetailBackup:     {"%s (upgraded; backup in %s)", "%s (aktualisiert; Sicherung in %s)"},
	UpDetailKubernetes: {"%s, API on %s", "%s, API auf %s"},
	Seconds:            {"%.1f s", "%.1f s"},
	UpReady:            {"Ready in %.1f s", "Bereit nach %.1f s"},
	UpStartPage:        {"Start page", "Startseite"},
	UpTracking:         {"Tracking", "Tracking"},
	UpKubectl:          {"kubectl", "kubectl"},
	UpNext:             {"Next:", "Weiter:"},
	UpNextDemo:         {"the whole loop in three minutes", "der ganze Kreislauf in drei Minuten"},
	UpNextDoctor:       {"if something looks wrong", "falls etwas nicht stimmt"},
	UpNextDown:         {"stop it; stored data stays", "anhalten; gespeicherte Daten bleiben"},
	UpNextStatus:       {"addresses, versions, pods", "Adressen, Versionen, Pods"},
	UpStopping:         {"Stopping pods and platform …", "Pods und Plattform werden angehalten …"},
	UpStopAgain:        {"Stopping at once.", "Wird sofort beendet."},
	UpStoppedDiscarded: {"Stopped. The temporary data directory %s is removed; --data-dir DIR keeps it.", "Angehalten. Das vorübergehende Datenverzeichnis %s wird entfernt; mit --data-dir DIR bleibt es."},
	UpStopped:          {"Stopped. What was stored stays in %s", "Angehalten. Gespeichertes bleibt in %s"},

	DemoDirNotEmpty: {"the demo starts on an empty folder; %s is not empty and is left untouched", "die Demo beginnt mit einem leeren Ordner; %s ist nicht leer und bleibt unberührt"},

	DownNothing: {"Nothing runs on %s", "Auf %s läuft nichts"},
	DownLost:    {"Stopped %d containers that an ended platform had left running", "%d Container angehalten, die eine beendete Plattform zurückgelassen hatte"},

	CleanNotStopped: {"It did not stop by itself: %s", "Sie hielt nicht von selbst an: %s"},
	CleanEnded:      {"Ended %s (PID %s): %s", "Beendet: %s (PID %s): %s"},
	CleanRemoved:    {"Removed %s", "Entfernt: %s"},
	CleanDone:       {"Nothing of Kiwerk is left running. What was stored stays in %s", "Von Kiwerk läuft nichts mehr. Gespeichertes bleibt in %s"},
	NoteLeftOver:    {"%d processes and %d mounts or network parts of an ended platform are left; remove them with: kiwerk down --clean --data-dir %s", "%d Prozesse und %d Einhängungen oder Netzteile einer beendeten Plattform sind übrig; sie entfernt: kiwerk down --clean --data-dir %s"},
	NoteListen:      {"the port %s is that of the last start, as no other was named; the usual one again: kiwerk up --listen %s", "der Port %s ist der des letzten Starts, weil kein anderer genannt wurde; wieder der übliche: kiwerk up --listen %s"},
	NoteHolderLost:  {"the process that holds the namespaces of these containers was ended: kiwerk up cannot adopt them but starts their pods anew by their restart policies", "der Prozess, der die Namespaces dieser Container hält, wurde beendet: kiwerk up kann sie nicht übernehmen, sondern beginnt ihre Pods nach ihren Neustartregeln neu"},
	NoteOldAddress:  {"the platform or its Kubernetes API has another port than when these pods started, and they still call the old one: %s; delete them, so that they are started anew with the new address", "die Plattform oder ihre Kubernetes-API hat einen anderen Port als beim Start dieser Pods, und sie rufen noch den alten: %s; nach dem Löschen beginnen sie mit der neuen Adresse neu"},

	DataDirUnusable:    {"the data directory %s cannot be used", "das Datenverzeichnis %s ist nicht benutzbar"},
	DataDirForeign:     {"the folder %s is not empty and holds no Kiwerk data; it is left untouched", "der Ordner %s ist nicht leer und enthält keine Daten von Kiwerk; er bleibt unberührt"},
	DataDirOtherUser:   {"the data directory %s belongs to user %s", "das Datenverzeichnis %s gehört Benutzer %s"},
	DataDirNetwork:     {"the data directory %s lies on a network file system (%s), where databases lose data; choose a local disk", "das Datenverzeichnis %s liegt auf einem Netzlaufwerk (%s), auf dem Datenbanken Daten verlieren; bitte eine lokale Platte wählen"},
	DataDirReadOnly:    {"the data directory %s lies on a read-only file system", "das Datenverzeichnis %s liegt auf einem schreibgeschützten Dateisystem"},
	DataDirNewer:       {"the data in %s was written by Kiwerk %s (Kubernetes %s), which is newer than this program, %s (Kubernetes %s); nothing was changed", "die Daten in %s stammen von Kiwerk %s (Kubernetes %s), das neuer ist als dieses Programm, %s (Kubernetes %s); nichts wurde verändert"},
	DataDirUnknown:     {"there is no Kiwerk data in %s", "in %s liegen keine Daten von Kiwerk"},
	DiskFull:           {"the disk of %s has only %d MB free; a start needs %d MB", "auf der Platte von %s sind nur %d MB frei; ein Start braucht %d MB"},
	AlreadyRuns:        {"Kiwerk already runs on %s (PID %s) %s", "Kiwerk läuft bereits auf %s (PID %s) %s"},
	DaemonStillEnds:    {"a platform that lost its terminal still holds %s and does not end", "eine Plattform ohne Terminal belegt %s noch und endet nicht"},
	VersionsUnreadable: {"the file %s is damaged", "die Datei %s ist beschädigt"},
	VersionsTry:        {"echo '{}' > %s   (the next start copies the databases first; do so only with a program that is not older than the one that ran here last)", "echo '{}' > %s   (der nächste Start kopiert vorher die Datenbanken; nur mit einem Programm, das nicht älter ist als das zuletzt hier gelaufene)"},
	RestoreBackup:      {"use the newer program, or copy a backup from %s over the data", "das neuere Programm benutzen oder eine Sicherung aus %s über die Daten kopieren"},
	BackupFailed:       {"the data in %s could not be backed up before the upgrade, so nothing was changed", "die Daten in %s konnten vor der Aktualisierung nicht gesichert werden, deshalb wurde nichts verändert"},

	RuntimeDirUnusable: {"the folder for sockets %s cannot be used", "der Ordner für Sockets %s ist nicht benutzbar"},
	RuntimeDirForeign:  {"the folder for sockets %s belongs to somebody else or others can look into it", "der Ordner für Sockets %s gehört jemand anderem, oder andere können hineinsehen"},

	PortTaken:   {"the address %s is taken by another process", "die Adresse %s ist von einem anderen Prozess belegt"},
	PortTakenBy: {"the address %s is taken by %s", "die Adresse %s ist belegt von %s"},
	PortRefused: {"the address %s cannot be opened", "die Adresse %s lässt sich nicht öffnen"},
	PortTry:     {"kiwerk up --listen 127.0.0.1:0   (takes a free port and prints it)", "kiwerk up --listen 127.0.0.1:0   (nimmt einen freien Port und nennt ihn)"},

	AgentMissing:    {"the helper program %s is missing", "das Hilfsprogramm %s fehlt"},
	PythonMissing:   {"runtime.python: there is no Python at %s", "runtime.python: unter %s gibt es kein Python"},
	PythonTry:       {"set runtime.python in config.yaml to an interpreter or a virtual environment", "runtime.python in config.yaml auf einen Interpreter oder eine virtuelle Umgebung setzen"},
	ConfigInvalid:   {"the configuration is not valid", "die Konfiguration ist ungültig"},
	StartFailed:     {"the platform did not start (%s)", "die Plattform ist nicht gestartet (%s)"},
	StartTimeout:    {"the platform was not ready after %s; it was busy with: %s", "die Plattform war nach %s nicht bereit; sie war beschäftigt mit: %s"},
	DaemonLost:      {"the platform ended unexpectedly; pods keep running until it is started again or stopped", "die Plattform ist unerwartet beendet; Pods laufen weiter, bis sie neu gestartet oder angehalten wird"},
	HolderLost:      {"the process that holds the cluster's namespaces (kiwerk-agent hold) was ended, and the platform with it; when the platform is started again, its pods start anew by their restart policies", "der Prozess, der die Namespaces des Clusters hält (kiwerk-agent hold), wurde beendet und mit ihm die Plattform; beim nächsten Start der Plattform beginnen ihre Pods nach ihren Neustartregeln neu"},
	UpDetailAdopted: {"%d containers run on", "%d Container laufen weiter"},
	UpDetailLost:    {"%d containers run on; %d pods were lost with their holder or by a restart of the machine and start anew by their restart policies", "%d Container laufen weiter; %d Pods gingen mit ihrem Halter oder durch einen Neustart des Rechners verloren und beginnen nach ihren Neustartregeln neu"},
	NotRunning:      {"no platform runs on %s", "auf %s läuft keine Plattform"},
	HolderFailed:    {"the process that holds containers could not be started", "der Prozess, der Container hält, konnte nicht gestartet werden"},
	UserNSForbidden: {"this machine does not let ordinary users make user namespaces, which containers need", "dieser Rechner erlaubt gewöhnlichen Benutzern keine User-Namespaces, die Container brauchen"},
	UserNSTry:       {"%s, or start as root", "%s, oder als root starten"},
	SeeLog:          {"less %s", "less %s"},
}
