package demo

import (
	"errors"
	"time"

	"k8s.io/client-go/rest"
)

// Config is what a person may choose about the day.
type Config struct {
	// Report is the file for the report; empty: none is written.
	Report string
	// BadChallenger shuffles the labels of the photographs after the change,
	// so that the retrained model is a bad one and must be refused.
	BadChallenger bool
	// Seed deals the images and makes the noise.
	Seed uint64
	// Python has scikit-learn, which carries the images.
	Python string
	// Lang is "de" or "en".
	Lang string
	// Now tells the time.
	Now func() time.Time
}

// Platform is a running Kiwerk as its users see it.
type Platform struct {
	BaseURL   string
	Token     string // empty: loopback without login
	Namespace string // empty: default
	Kube      *rest.Config
	// Started is how long it took to be ready.
	Started time.Duration
	// Memory is the sum of Pss, in bytes, of the platform's own processes.
	Memory func() (int64, error)
}

func (c *Config) complete(p *Platform) error {
	if c.Now == nil {
		return errors.New("demo: Config.Now is not set")
	}
	if p.Kube == nil || p.BaseURL == "" {
		return errors.New("demo: the platform's addresses are not set")
	}
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	return nil
}
