package demo

// What the gateway says about an answer beside the protocol's own body.
const (
	headerPrediction = "X-Kiwerk-Prediction-Id"
	headerVersion    = "X-Kiwerk-Model-Version"
)
