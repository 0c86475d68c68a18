package notify

import "testing"

func TestReach(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"erika@example.org": "erika@example.org", " erika@example.org ": "erika@example.org", "erika@localhost": "", "erika": "", "": "",
		"a@b.de\nBcc: c@d.de": "", "a b@example.org": "", "erika@.": "",
	} {
		if got, ok := EmailAddress(in); ok != (want != "") || ok && got != want {
			t.Errorf("EmailAddress(%q) = %q, %v", in, got, ok)
		}
	}
	for in, want := range map[string]string{
		"0151 23456789": "+4915123456789", "+49 151 23456789": "+4915123456789", "0341 123456": "", "110": "", "": "", "abc": "",
		"+43 664 1234567": "+436641234567",
	} {
		if got, ok := MobileNumber(in); ok != (want != "") || ok && got != want {
			t.Errorf("MobileNumber(%q) = %q, %v", in, got, ok)
		}
	}
}
