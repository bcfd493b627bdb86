# Every target is a command of dev.py, which works the same on Windows, macOS and Linux.
PYTHON ?= python3

demo serve check test bench lint types fmt clean:
	$(PYTHON) dev.py $@ $(ARGS)

.PHONY: demo serve check test bench lint types fmt clean
