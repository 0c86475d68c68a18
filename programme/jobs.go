package programme

import "impfportal/internal/jobs"

// SeriesChangedPayload names the product.
type SeriesChangedPayload struct {
	ProductID string `json:"product_id"`
}

// SeriesChanged: doses or intervals of a product are no longer what they were.
var SeriesChanged = jobs.Define[SeriesChangedPayload]("programme.series-changed")
