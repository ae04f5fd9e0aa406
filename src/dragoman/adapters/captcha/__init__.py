"""Who checks captchas."""
