package invoice

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// A Brand is who sends the invoice and how it looks. Its JSON form is branding/company.json; every field but the name
// may be missing.
type Brand struct {
	Name               string   `json:"name"`
	AddressLines       []string `json:"addressLines"`
	VATNumber          string   `json:"vatNumber"`
	RegistrationNumber string   `json:"registrationNumber"`
	Phone              string   `json:"phone"`
	Email              string   `json:"email"`
	Website            string   `json:"website"`      // http or https
	AccentColour       string   `json:"accentColour"` // #RRGGBB
	Footer             string   `json:"footer"`

	// Logo is shown instead of the name at the top of the first page. The zero value is no logo.
	Logo Logo `json:"-"`
}

// TextBrand returns the brand that an invoice bears where there is no branding.
func TextBrand() Brand {
	return Brand{
		Name:         "KimmyAI",
		Email:        "support@kimmyai.io",
		Website:      "https://kimmyai.io",
		AccentColour: defaultAccent,
	}
}

const defaultAccent = "#1F4E79"

// maxAddressLines is how many lines of the supplier's address are shown.
const maxAddressLines = 6

// ParseBrand reads company.json. The error is not nil if it is not an object of texts or has no name: then the brand is
// TextBrand; or if the accent colour is not one: then the brand is as given, with the usual colour.
func ParseBrand(data []byte) (Brand, error) {
	var b Brand
	if err := json.Unmarshal(data, &b); err != nil {
		return TextBrand(), fmt.Errorf("company.json: %w", err)
	}
	if strings.TrimSpace(b.Name) == "" {
		return TextBrand(), fmt.Errorf("company.json: name is missing")
	}
	b.AddressLines = b.AddressLines[:min(len(b.AddressLines), maxAddressLines)]
	if b.AccentColour == "" {
		b.AccentColour = defaultAccent
	}
	if _, err := parseColour(b.AccentColour); err != nil {
		b.AccentColour = defaultAccent
		return b, fmt.Errorf("company.json: %w", err)
	}
	return b, nil
}

// A colour is red, green and blue.
type colour struct{ r, g, b uint8 }

func parseColour(s string) (colour, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 24)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return colour{}, fmt.Errorf("%q is not a colour of the form #RRGGBB", s)
	}
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil //nolint:gosec // Cut to bytes on purpose.
}

// accent returns the brand's colour, dark enough to be read on white.
func (b Brand) accent() colour {
	c, err := parseColour(b.AccentColour)
	if err != nil {
		c, _ = parseColour(defaultAccent)
	}
	for c.luminance() > darkEnough {
		c = colour{c.r - c.r/10, c.g - c.g/10, c.b - c.b/10}
	}
	return c
}

// darkEnough is the luminance of a colour that has a contrast of 4.5 to 1 on white (WCAG 2.2, success criterion 1.4.3).
const darkEnough = 1.05/4.5 - 0.05

// luminance returns the relative luminance of a colour (WCAG 2.2), between 0 and 1.
func (c colour) luminance() float64 {
	linear := func(v uint8) float64 {
		if s := float64(v) / 255; s > 0.04045 {
			return math.Pow((s+0.055)/1.055, 2.4)
		}
		return float64(v) / 255 / 12.92
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// site returns the website's address and how it is shown, or nothing if it is no http or https address.
func (b Brand) site() (address, shown string) {
	u, err := url.Parse(strings.TrimSpace(b.Website))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", ""
	}
	return u.String(), strings.TrimSuffix(u.Host+u.EscapedPath(), "/")
}
