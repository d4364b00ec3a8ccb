"""Picture files that many programs wrote, each with a small PNG of what Chromium shows.

`files.toml` lists them, `draw.py` writes and draws them, and `test_browser.py` compares the decoder with them.
"""
