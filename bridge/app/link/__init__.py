"""The bridge as engine connections see it: messages in, answers, news and frames out."""
