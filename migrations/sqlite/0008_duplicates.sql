-- The number of the first picture of the data set that shows the same, the picture itself included; null if no other does. Data sets
-- that were read before this was looked for have none.
alter table dataset_images add column duplicate_group bigint;
