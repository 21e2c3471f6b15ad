package text

// Sentences about nodes.
const (
	NodeShort         Key = "command.node"
	NodeListShort     Key = "command.node.list"
	NodeSimulateShort Key = "command.node.simulate"
	NodeSimulateLong  Key = "command.node.simulate.long"
	NodeRemoveShort   Key = "command.node.remove"

	FlagNodeCount     Key = "flag.node.count"
	FlagNodeFile      Key = "flag.node.file"
	FlagNodeName      Key = "flag.node.name"
	FlagNodes         Key = "flag.nodes"
	WorkerShort       Key = "command.internal.node"
	UpDetailNodesGone Key = "up.detail.nodesGone"
	FlagNodeGPUs      Key = "flag.node.gpus"
	FlagNodeCPU       Key = "flag.node.cpu"
	FlagNodeMemory    Key = "flag.node.memory"
	FlagNodePods      Key = "flag.node.pods"
	FlagNodeLabel     Key = "flag.node.label"
	FlagNodeTaint     Key = "flag.node.taint"
	FlagNodeOpen      Key = "flag.node.open"
	FlagNodeSimulated Key = "flag.node.simulated"

	NodeReal         Key = "node.real"
	NodeSimulated    Key = "node.simulated"
	NodesMade        Key = "node.made"
	NodesRemoved     Key = "node.removed"
	NodeInvalid      Key = "node.invalid"
	NodeNotFound     Key = "node.notFound"
	NodeNotSimulated Key = "node.notSimulated"
)

var nodeTexts = map[Key]entry{
	NodeShort:         {"Nodes of the cluster, real and simulated", "Knoten des Clusters, echte und simulierte"},
	NodeListShort:     {"List the nodes", "Die Knoten auflisten"},
	NodeSimulateShort: {"Make nodes that do not exist, to try schedulers and queues", "Knoten anlegen, die es nicht gibt, um Scheduler und Warteschlangen zu erproben"},
	NodeSimulateLong: {
		"Make nodes that do not exist. Pods that are bound to one become Running at once and, if their restartPolicy lets them, Succeeded after the time of the annotation kiwerk.dev/simulated-duration (pods of a Job: 5 s without); no process runs. A taint keeps other pods away: let those that shall go there tolerate kiwerk.dev/simulated.",
		"Knoten anlegen, die es nicht gibt. Pods, die an einen gebunden werden, sind sofort Running und, wenn ihre restartPolicy es zulässt, nach der Zeit der Annotation kiwerk.dev/simulated-duration Succeeded (Pods eines Jobs ohne sie: nach 5 s); kein Prozess läuft. Ein Taint hält andere Pods fern: Wer dorthin soll, duldet kiwerk.dev/simulated.",
	},
	NodeRemoveShort: {"Remove simulated nodes", "Simulierte Knoten entfernen"},

	FlagNodeCount:     {"how many", "wie viele"},
	FlagNodeFile:      {"manifest of a Node whose name, labels, taints and capacity are taken; - reads standard input", "Manifest eines Node, dessen Name, Labels, Taints und Kapazität gelten; - liest die Standardeingabe"},
	FlagNodes:         {"how many nodes this machine plays, each with a kubelet of its own, 1 to 10 (default: as configured, 1)", "wie viele Knoten dieser Rechner spielt, jeder mit eigenem Kubelet, 1 bis 10 (Vorgabe: wie eingestellt, 1)"},
	WorkerShort:       {"A further node of the platform", "Ein weiterer Knoten der Plattform"},
	UpDetailNodesGone: {"%s removed with %d pods; controllers make theirs anew on the nodes that are left", "%s entfernt mit %d Pods; Controller legen ihre auf den übrigen Knoten neu an"},
	FlagNodeName:      {"first part of the names", "erster Teil der Namen"},
	FlagNodeGPUs:      {"GPUs per node: a number (of H100) or as --simulate-gpus of kiwerk up, e.g. t4:2", "GPUs je Knoten: eine Anzahl (von H100) oder wie --simulate-gpus von kiwerk up, etwa t4:2"},
	FlagNodeCPU:       {"CPUs per node", "CPUs je Knoten"},
	FlagNodeMemory:    {"memory per node", "Speicher je Knoten"},
	FlagNodePods:      {"pods that a node takes", "Pods, die ein Knoten nimmt"},
	FlagNodeLabel:     {"label KEY=VALUE; may be repeated", "Label SCHLÜSSEL=WERT; mehrfach möglich"},
	FlagNodeTaint:     {"taint KEY[=VALUE]:EFFECT; may be repeated", "Taint SCHLÜSSEL[=WERT]:WIRKUNG; mehrfach möglich"},
	FlagNodeOpen:      {"without the taint that keeps other pods away", "ohne den Taint, der andere Pods fernhält"},
	FlagNodeSimulated: {"all simulated nodes", "alle simulierten Knoten"},

	NodeReal:         {"real", "echt"},
	NodeSimulated:    {"simulated", "simuliert"},
	NodesMade:        {"%d simulated nodes made. See: kiwerk node list; remove with: kiwerk node remove --simulated", "%d simulierte Knoten angelegt. Ansehen: kiwerk node list; entfernen: kiwerk node remove --simulated"},
	NodesRemoved:     {"%d simulated nodes removed. See: kiwerk node list", "%d simulierte Knoten entfernt. Ansehen: kiwerk node list"},
	NodeInvalid:      {"these nodes cannot be made", "diese Knoten lassen sich nicht anlegen"},
	NodeNotFound:     {"there is no node %s", "es gibt keinen Knoten %s"},
	NodeNotSimulated: {"the node %s is real; only simulated ones can be removed", "der Knoten %s ist echt; nur simulierte lassen sich entfernen"},
}
