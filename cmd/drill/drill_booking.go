package main

import "context"

func drillBooking(ctx context.Context, r *Report) error      { return nil }
func drillCertificates(ctx context.Context, r *Report) error { return nil }
func drillOpening(ctx context.Context, r *Report) error      { return nil }
