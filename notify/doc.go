// Package notify sends: e-mail over SMTP, SMS over Twilio, and letters through
// a print queue (Druckwarteschlange). It knows no person: a message is stored
// with its address, rendered, and sealed under the data key of the person it
// is for, so that destroying that key makes it unreadable everywhere.
//
// Send writes one row per way (e-mail, SMS, letter) in the caller's
// transaction, together with the task that delivers it: a fact and the message
// about it are committed together or not at all.
//
//	e-mail, SMS
//	            .--- the outside refused for now, tries left ---.
//	            v                                               |
//	  queued ------> sending -----------------------------------+
//	            ^       |  \--- accepted ---> sent              |
//	            |       v                                       |
//	            |    (crash: taken up again when the lease ends)|
//	            '--- staff: resend ------------------- failed <-'
//
//	letter
//	  queued --- staff: download the batch, print, mark by hand ---> printed
//	     ^-------------- staff: print again ------------------------'
//
//	any of them, when the person's key was destroyed before: void
//
// A message about the end of a registration is for somebody whose key is
// destroyed in the same transaction. It is sealed under a key of its own (a
// Recipient without KeyID); that key is destroyed with the message, after the
// period for messages at the latest, delivered or not.
//
// # Exactly one delivery, as far as the outside allows
//
// The state 'sending' is committed before the outside is asked, and what it
// answered (the provider's id) after. Between the two lies an edge that no
// program can close alone: accepted outside, then killed before the answer was
// stored. When the lease of such a row ends, an SMS is looked up at the
// provider (same number, same text, not before the attempt, an id that no
// other row has) and only sent when it is not there. SMTP has no look-up: the
// e-mail goes out again under the same Message-ID, by which mailboxes fold the
// two into one. So SMS are delivered exactly once, e-mail at least once with a
// stable id.
//
// # What comes in
//
// Twilio delivers SMS that people send us to /webhooks/sms, signed with the
// account's token (inbound.go). Whom it concerns and what to reply is said by a
// function that cmd hands over; nothing of it is stored here.
//
// In local runs nothing leaves the machine: delivery goes through the same
// states and the same task and ends on the page /dev/mailbox.
package notify
