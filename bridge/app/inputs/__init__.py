"""Pictures that go into workflows: those of engines, and a stream's own last one."""
