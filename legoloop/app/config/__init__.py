"""The configuration as a value: settings, bound components, checks. No Hydra, no dependency_injector."""
