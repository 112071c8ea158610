"""Large multimodal models: configuration, prompts, calls, answers, what they cost."""
