package centre

import "impfportal/internal/jobs"

// ChangedPayload names the centre.
type ChangedPayload struct {
	CentreID string `json:"centre_id"`
}

// Changed: the stations, the minutes per person, the opening hours or the
// activity of a centre are no longer what they were.
var Changed = jobs.Define[ChangedPayload]("centre.changed")
