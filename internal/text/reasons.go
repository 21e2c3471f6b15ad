package text

// RetrainReason is the sentence for a reason of a retraining, as the status of
// a RetrainPolicy and the stored decisions name it.
func RetrainReason(reason string) Key { return Key("retrain.reason." + reason) }

var retrainReasons = map[string]entry{
	"Idle":              {"nothing to do", "nichts zu tun"},
	"WaitingForLabels":  {"waiting for labelled samples", "wartet auf Beispiele mit wahren Werten"},
	"WorkflowRunning":   {"the training runs", "das Training läuft"},
	"WorkflowFailed":    {"the training failed", "das Training ist gescheitert"},
	"WorkflowTimeout":   {"the training took too long", "das Training hat zu lange gedauert"},
	"NoChallenger":      {"the training registered no new version", "das Training hat keine neue Version registriert"},
	"RejectedBefore":    {"this version was judged before", "über diese Version wurde schon entschieden"},
	"ChallengerLoading": {"the new version is being loaded", "die neue Version wird geladen"},
	"ChallengerFailed":  {"the new version could not be served", "die neue Version ließ sich nicht bereitstellen"},
	"GateTooSmall":      {"too few rows were held back to compare on", "zu wenige Zeilen sind für den Vergleich zurückgehalten"},
	"NotBetter":         {"the new version is not better enough", "die neue Version ist nicht genug besser"},
	"Better":            {"the new version is better", "die neue Version ist besser"},
	"AwaitingApproval":  {"a person has to decide", "ein Mensch muss entscheiden"},
	"Approved":          {"approved by a person", "von einem Menschen freigegeben"},
	"RejectedByPerson":  {"rejected by a person", "von einem Menschen abgelehnt"},
	"CanaryRunning":     {"the new version answers a share of the requests", "die neue Version beantwortet einen Teil der Anfragen"},
	"CanaryStepPassed":  {"a step of the canary is passed", "eine Stufe des Probelaufs ist bestanden"},
	"CanaryPassed":      {"all steps of the canary are passed", "alle Stufen des Probelaufs sind bestanden"},
	"ErrorRate":         {"too many requests to the new version failed", "zu viele Anfragen an die neue Version sind fehlgeschlagen"},
	"AccuracyDrop":      {"the new version answers worse than the former one", "die neue Version antwortet schlechter als die bisherige"},
	"CanaryTimeout":     {"the canary got too few requests in time", "der Probelauf bekam in der Zeit zu wenige Anfragen"},
	"ChampionChanged":   {"somebody rolled out another version meanwhile", "inzwischen wurde eine andere Version ausgerollt"},
	"Promoted":          {"the new version has replaced the former one", "die neue Version hat die bisherige abgelöst"},
}
