"""Dagster: assets, checks, jobs, schedules and resources, which declare and delegate."""
