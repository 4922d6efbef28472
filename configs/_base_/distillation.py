# A DeAOT of one layer is taught by one of three: what the ID branch of the teacher's last layer reads from memory
# (CKA), and the logits (relations between the objects of a pixel, and between the pixels of an object). Eq. 12:
# lambda = 1.5.
attention = dict(teacher="propagation.2.id.output", student="propagation.0.id.output",
                 loss=dict(type="CKALoss", weight=1.5))
inter = dict(teacher="logits", student="logits", loss=dict(type="InterObjectLoss"))
intra = dict(teacher="logits", student="logits", loss=dict(type="IntraObjectLoss"))
task = dict(type="Distillation", pairs=[inter, intra, attention])
