"""`python -m trainer.doctor`: can this machine train, and what is to be done?"""
