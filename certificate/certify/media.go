package certify

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The media types of the public description.
const (
	mediaText   = "application/cbor+base45" // HC1 text
	mediaBinary = "application/cbor"        // COSE message
	mediaPDF    = "application/pdf"
)

var (
	mediaIn  = []string{"application/vnd.dgc.v1+json", "application/json"}
	mediaOut = []string{mediaText, mediaBinary, mediaPDF}
)

// checkContent refuses bodies that are not said to be a request.
func checkContent(h http.Header) error {
	t, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if charset := params["charset"]; err != nil || !slices.Contains(mediaIn, t) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return refuse(http.StatusUnsupportedMediaType, "certify.error.media").at("Content-Type")
	}
	return nil
}

// chooseMedia returns the form of the answer: what the caller likes best, of the
// same liking the first; the HC1 text for whoever has no wish.
func chooseMedia(h http.Header) (string, error) {
	wishes := strings.Join(h.Values("Accept"), ",")
	if strings.TrimSpace(wishes) == "" {
		return mediaText, nil
	}
	best, bestQ := "", 0.0
	never := map[string]bool{}
	for wish := range strings.SplitSeq(wishes, ",") {
		t, params, err := mime.ParseMediaType(wish)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch t {
		case "*/*", "*", "application/*":
			t = mediaText
		default:
			if q == 0 {
				never[t] = true
			}
		}
		if q > bestQ && slices.Contains(mediaOut, t) {
			best, bestQ = t, q
		}
	}
	if best == "" || never[best] {
		return "", refuse(http.StatusNotAcceptable, "certify.error.accept").at("Accept")
	}
	return best, nil
}
