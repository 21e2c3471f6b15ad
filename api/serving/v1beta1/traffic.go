package v1beta1

// TagPrevious marks the revision that keeps the rest of the requests beside a canary.
const TagPrevious = "prev"

// StableRevision is the one that answers unless a canary is on its way: the
// champion. It is empty before the first roll-out.
func (s *InferenceServiceStatus) StableRevision() string {
	p := s.Components[PredictorComponent]
	for _, t := range p.Traffic {
		if t.Tag == TagPrevious && t.Percent != nil && *t.Percent > 0 {
			return t.RevisionName
		}
	}
	if len(p.Traffic) == 1 && p.Traffic[0].RevisionName != "" {
		return p.Traffic[0].RevisionName
	}
	return p.LatestRolledoutRevision
}
