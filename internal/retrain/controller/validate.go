package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// validate lists everything that is wrong with a spec, each with its path.
func validate(s *v1alpha1.RetrainPolicySpec) []string {
	var problems []string
	refuse := func(wrong bool, path, why string) {
		if wrong {
			problems = append(problems, path+": "+why)
		}
	}
	refuse(s.EndpointRef.Name == "", "spec.endpointRef.name", "is required")
	refuse(s.Dataset.Name == "", "spec.dataset.name", "is required")
	refuse(s.Template.Name == "", "spec.template.name", "is required")
	refuse(s.MinLabelled < 1, "spec.minLabelled", "must be at least 1")
	refuse(s.Include != "" && s.Include != v1alpha1.IncludePrevious, "spec.include", fmt.Sprintf("must be empty or %q", v1alpha1.IncludePrevious))
	refuse(s.Gate.Fraction <= 0 || s.Gate.Fraction >= 1, "spec.gate.fraction", "must lie between 0 and 1")
	refuse(s.Dataset.GateName == s.Dataset.Name, "spec.dataset.gateName", "must differ from spec.dataset.name")
	refuse(s.Challenger.Metric != v1alpha1.MetricAccuracy, "spec.challenger.metric", fmt.Sprintf("only %q is there", v1alpha1.MetricAccuracy))
	refuse(s.Approval != v1alpha1.ApprovalAuto && s.Approval != v1alpha1.ApprovalManual, "spec.approval", "must be auto or manual")
	refuse(s.Triggers.Performance != nil && (s.Triggers.Performance.Below <= 0 || s.Triggers.Performance.Below > 1),
		"spec.triggers.performance.below", "must lie between 0 and 1")
	if t := s.Triggers.Schedule; t != nil {
		if _, err := schedule(t); err != nil {
			problems = append(problems, "spec.triggers.schedule: "+plain.Error(err).Error())
		}
	}
	for i, step := range s.Canary.Steps {
		path := fmt.Sprintf("spec.canary.steps[%d]", i)
		refuse(step.Percent < 1 || step.Percent > 100, path+".percent", "must lie between 1 and 100")
		refuse(step.MinRequests <= 0 && step.Duration == nil, path, "needs minRequests or duration, else it proves nothing")
		refuse(i > 0 && step.Percent <= s.Canary.Steps[i-1].Percent, path+".percent", "must be more than that of the step before")
	}
	return problems
}

// schedule reads a time table of five fields.
func schedule(t *v1alpha1.ScheduleTrigger) (cron.Schedule, error) {
	zone := t.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return nil, fmt.Errorf("timeZone %q is not known", t.TimeZone)
	}
	if strings.HasPrefix(t.Cron, "CRON_TZ=") || strings.HasPrefix(t.Cron, "TZ=") {
		return nil, fmt.Errorf("cron %q: give the time zone in timeZone", t.Cron)
	}
	s, err := cron.ParseStandard("CRON_TZ=" + zone + " " + t.Cron)
	if err != nil {
		return nil, fmt.Errorf("cron %q: %w", t.Cron, err)
	}
	return s, nil
}

func join(problems []string) string { return strings.Join(problems, "; ") }
