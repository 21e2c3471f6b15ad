package text

// Sentences of kiwerk up.
const (
	UpPhaseData        Key = "up.phase.data"
	UpPhaseKubernetes  Key = "up.phase.kubernetes"
	UpPhaseControllers Key = "up.phase.controllers"
	UpPhaseNode        Key = "up.phase.node"
	UpReady            Key = "up.ready"
	UpStartPage        Key = "up.startPage"
	UpTracking         Key = "up.tracking"
	UpKubectl          Key = "up.kubectl"
	UpNext             Key = "up.next"
)

var upTexts = map[Key]entry{
	UpPhaseData:        {"data", "Daten"},
	UpPhaseKubernetes:  {"Kubernetes", "Kubernetes"},
	UpPhaseControllers: {"controllers", "Controller"},
	UpPhaseNode:        {"node", "Knoten"},
	UpReady:            {"Ready in %s", "Bereit nach %s"},
	UpStartPage:        {"Start page", "Startseite"},
	UpTracking:         {"Tracking", "Tracking"},
	UpKubectl:          {"kubectl", "kubectl"},
	UpNext:             {"Next:", "Weiter:"},
}
