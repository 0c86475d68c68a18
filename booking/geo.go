package booking

import (
	"math"
	"sort"

	"impfportal/centre"
)

// place is a point in degrees, WGS 84.
type point struct{ lat, lon float64 }

// postcodes are the rough middles of Saxony's postcode regions (the first three
// digits of a Postleitzahl), and of the two-digit areas for the rest. Good
// enough to say which centre is near; no map service is asked.
var postcodes = map[string]point{
	"01": {51.10, 13.80}, "010": {51.05, 13.74}, "011": {51.08, 13.73}, "012": {51.02, 13.76}, "013": {51.05, 13.80},
	"014": {51.15, 13.75}, "015": {51.30, 13.35}, "016": {51.20, 13.50}, "017": {50.93, 13.85}, "018": {51.00, 14.10}, "019": {51.27, 14.10},
	"02": {51.15, 14.65}, "025": {51.18, 14.40}, "026": {51.18, 14.45}, "027": {51.05, 14.70}, "028": {51.15, 14.97}, "029": {51.35, 14.75},
	"04": {51.30, 12.50}, "040": {51.34, 12.40}, "041": {51.36, 12.35}, "042": {51.33, 12.32}, "043": {51.34, 12.42}, "044": {51.37, 12.20},
	"045": {51.15, 12.45}, "046": {51.20, 12.60}, "047": {51.18, 13.00}, "048": {51.50, 12.95}, "049": {51.50, 13.45},
	"07": {50.60, 12.05}, "079": {50.60, 12.00},
	"08": {50.65, 12.50}, "080": {50.72, 12.49}, "081": {50.68, 12.48}, "082": {50.53, 12.40}, "083": {50.57, 12.72}, "084": {50.77, 12.38},
	"085": {50.45, 12.15}, "086": {50.37, 12.20},
	"09": {50.85, 12.95}, "091": {50.83, 12.92}, "092": {50.95, 12.80}, "093": {50.83, 12.75}, "094": {50.60, 13.05}, "095": {50.88, 13.30}, "096": {51.00, 13.05},
}

// whereIs returns the middle of a German postcode's region; ok is false outside
// Saxony's regions.
func whereIs(postcode string) (p point, ok bool) {
	if len(postcode) != 5 {
		return point{}, false
	}
	if p, ok = postcodes[postcode[:3]]; !ok {
		p, ok = postcodes[postcode[:2]]
	}
	return p, ok
}

// kilometres is the distance as the crow flies, by the haversine formula.
func kilometres(a, b point) float64 {
	const radius, rad = 6371.0, math.Pi / 180
	dLat, dLon := (b.lat-a.lat)*rad, (b.lon-a.lon)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * radius * math.Asin(math.Sqrt(h))
}

// nearCentre is a centre with its distance.
type nearCentre struct {
	centre.Centre
	Kilometres int // 0 = not known
}

// byDistance sorts centres by the distance from a postcode; without a known
// one their order stays.
func byDistance(centres []centre.Centre, postcode string) []nearCentre {
	out := make([]nearCentre, len(centres))
	from, ok := whereIs(postcode)
	for i, c := range centres {
		out[i] = nearCentre{Centre: c}
		if ok {
			out[i].Kilometres = max(1, int(math.Round(kilometres(from, point{c.Lat, c.Lon}))))
		}
	}
	if ok {
		sort.SliceStable(out, func(a, b int) bool { return out[a].Kilometres < out[b].Kilometres })
	}
	return out
}

// mapPoint is a centre on the schematic map, in the units of the drawing.
type mapPoint struct {
	X, Y float64
	ID   string
	Name string
	Free int
	R    float64
	// Left tells on which side of the point its name has room.
	Left bool
}

// The frame of the schematic map: Saxony lies within these degrees.
const (
	mapWest, mapEast   = 11.85, 15.05
	mapSouth, mapNorth = 50.15, 51.70
	mapWidth           = 640.0
)

// mapHeight keeps the shape of the land at its middle latitude.
var mapHeight = math.Round(mapWidth * (mapNorth - mapSouth) / ((mapEast - mapWest) * math.Cos((mapNorth+mapSouth)/2*math.Pi/180)))

func project(p point) (x, y float64) {
	return math.Round((p.lon - mapWest) / (mapEast - mapWest) * mapWidth), math.Round((mapNorth - p.lat) / (mapNorth - mapSouth) * mapHeight)
}

// outline is Saxony's border, drawn by hand with a few points.
var outline = []point{
	{51.42, 12.20},
	{51.47, 12.20},
	{51.58, 12.55},
	{51.66, 12.85},
	{51.62, 13.05},
	{51.43, 13.20},
	{51.36, 13.40},
	{51.40, 13.70},
	{51.37, 14.00},
	{51.54, 14.30},
	{51.53, 14.60},
	{51.50, 14.72},
	{51.30, 15.00},
	{51.10, 15.00},
	{50.87, 14.82},
	{50.92, 14.60},
	{51.00, 14.55},
	{51.04, 14.30},
	{50.90, 14.35},
	{50.80, 13.90},
	{50.70, 13.50},
	{50.60, 13.20},
	{50.40, 12.95},
	{50.42, 12.50},
	{50.23, 12.33},
	{50.18, 12.20},
	{50.32, 12.10},
	{50.40, 11.90},
	{50.55, 12.00},
	{50.65, 12.30},
	{50.90, 12.25},
	{50.97, 12.65},
	{51.08, 12.55},
	{51.10, 12.22},
	{51.30, 12.17},
}

// Nearest sorts centres by the distance from a postcode, the nearest first.
func Nearest(centres []centre.Centre, postcode string) []centre.Centre {
	out := make([]centre.Centre, 0, len(centres))
	for _, n := range byDistance(centres, postcode) {
		out = append(out, n.Centre)
	}
	return out
}
